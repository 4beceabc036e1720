"""What a submit's command_status comes to, by the table and by an operator's own rules."""

import pytest

from gateway import errors as gateway_errors
from routing.errors import OperatorSettingsError
from smpp_bind import pdu, refusals
from smpp_bind.refusals import Kind, Refusal


def read(**errors):
    return refusals.read(slug="one", errors=errors)


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (pdu.ESME_RTHROTTLED, Refusal(Kind.THROTTLING)),
        (pdu.ESME_RMSGQFUL, Refusal(Kind.THROTTLING)),
        (pdu.ESME_RSYSERR, Refusal(Kind.TEMPORARY)),
        (pdu.ESME_RX_T_APPN, Refusal(Kind.TEMPORARY)),
        (pdu.ESME_RX_P_APPN, Refusal(Kind.PERMANENT)),
        (pdu.ESME_RX_R_APPN, Refusal(Kind.PERMANENT)),
        (pdu.ESME_RINVDSTADR, Refusal(Kind.PERMANENT, "INVALID_RECIPIENT")),
        (pdu.ESME_RINVSRCADR, Refusal(Kind.PERMANENT, "INVALID_SENDER")),
        (0x104, Refusal(Kind.PERMANENT, "UNENCODABLE")),
        (0x40B, Refusal(Kind.PERMANENT)),
        (0xDEADBEEF, Refusal(Kind.PERMANENT)),
    ],
)
def test_it_classes_a_status(status, refusal):
    assert read().of(status) == refusal


def test_it_has_every_status_of_the_specification():
    named = set(pdu.STATUS_NAMES) - {pdu.ESME_ROK}
    assert named <= set(refusals.TABLE)


def test_it_tells_refusals_by_codes_that_the_gateway_explains():
    known = {entry["errorCode"] for entry in gateway_errors.catalogue()}
    assert {refusal.error_code for refusal in refusals.TABLE.values()} - {None} <= known
    assert known >= refusals.ERROR_CODES


@pytest.mark.parametrize("name", ["0x0000000B", "0xb", "11", "ESME_RINVDSTADR", "esme_rinvdstadr"])
def test_an_operators_rule_names_a_status_in_any_form(name):
    assert read(**{name: "permanent"}).of(0x0B) == Refusal(Kind.PERMANENT)


def test_an_operators_rules_lie_over_the_table():
    found = read(**{"1035": "throttling", "0x58": "temporary", "0x45": "permanent:INVALID_RECIPIENT"})
    assert found.throttling == {0x14, 1035}
    assert found.of(0x58) == Refusal(Kind.TEMPORARY)
    assert found.of(0x45) == Refusal(Kind.PERMANENT, "INVALID_RECIPIENT")
    assert found.of(0x0B) == Refusal(Kind.PERMANENT, "INVALID_RECIPIENT")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("0x0B", "never"),
        ("0x0B", "permanent:NONSENSE"),
        ("0x0B", "temporary:INVALID_RECIPIENT"),
        ("0x0B", "permanent:"),
        ("0", "permanent"),
        ("0x1FFFFFFFF", "permanent"),
        ("ESME_NONSENSE", "permanent"),
        ("", "permanent"),
        ("-5", "permanent"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_its_name(name, told):
    with pytest.raises(OperatorSettingsError, match=r"one: errors\["):
        read(**{name: told})
