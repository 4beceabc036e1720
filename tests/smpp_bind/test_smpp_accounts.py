"""An SMPP operator's settings: what is taken, and that everything else is refused by its name."""

import dataclasses

import pytest

from routing.contract import OperatorSettings
from routing.errors import OperatorSettingsError
from smpp_bind import accounts
from smpp_bind.settings import BindSettings

NEEDED = {"host": "127.0.0.1", "port": 2775, "system_id": "esme"}


def read(**settings):
    return accounts.read(
        OperatorSettings(7, "one", "sms", None, NEEDED | settings, secrets={"password": "pw"})
    )


def test_it_needs_no_more_than_where_and_who():
    account = read()
    assert account.binds == (BindSettings(host="127.0.0.1", port=2775, system_id="esme", password="pw"),)
    assert account.alphabets == {0: "gsm", 1: "ascii"}
    assert account.form.registered_delivery == 1
    assert not account.recounts


def test_it_takes_numbers_and_flags_as_text():
    (bind,) = read(port="2775", window="5", tls="false", enquire_link_seconds="7.5").binds
    assert (bind.port, bind.window, bind.tls, bind.enquire_link_seconds) == (2775, 5, False, 7.5)


def test_it_opens_pairs_and_several():
    account = read(bind="pair", binds=2, window=3)
    assert [bind.bind for bind in account.binds] == ["transmitter", "receiver"] * 2
    assert account.window == 6


def test_it_tells_both_ends_of_a_link_that_it_is_data_sm():
    account = read(data_sm=True)
    assert account.binds[0].data_sm
    assert account.form.data_sm


@pytest.mark.parametrize(
    ("settings", "registered_delivery"),
    [
        ({"receipts": "all"}, 1),
        ({"receipts": "failures"}, 2),
        ({"receipts": "none"}, 0),
        ({"intermediate_receipts": True}, 0x11),
    ],
)
def test_it_asks_for_the_receipts_that_are_wanted(settings, registered_delivery):
    assert read(**settings).form.registered_delivery == registered_delivery


@pytest.mark.parametrize(
    ("settings", "basic", "data_coding", "alphabets"),
    [
        ({"default_alphabet": "latin1"}, "latin1", 0, {0: "latin1", 1: "ascii"}),
        ({"default_alphabet": "latin1", "gsm_data_coding": 1}, "gsm", 1, {0: "latin1", 1: "gsm"}),
        ({"gsm_data_coding": 1, "alphabet_1": "ascii"}, "ascii", 1, {0: "gsm", 1: "ascii"}),
        ({"gsm_data_coding": 0xF1}, "gsm", 0xF1, {0: "gsm", 1: "ascii"}),
        ({"default_alphabet": "ucs2"}, "ucs2", 0, {0: "ucs2", 1: "ascii"}),
    ],
)
def test_it_knows_the_operators_alphabets(settings, basic, data_coding, alphabets):
    account = read(**settings)
    assert (account.form.coding.basic, account.form.coding.basic_data_coding) == (basic, data_coding)
    assert account.alphabets == alphabets


def test_it_counts_again_only_where_a_text_may_make_more_submits():
    wanted = [{"concatenation": "udh16"}, {"default_alphabet": "latin1"}, {"default_alphabet": "ucs2"}]
    assert all(read(**settings).recounts for settings in wanted)
    assert not read(concatenation="payload", alphabet="latin1", transliterate=True).recounts


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"host": ""}, "host is missing"),
        ({"system_id": None}, "system_id is missing"),
        ({"port": 0}, "port must be"),
        ({"port": 2775.5}, "port must be a whole number"),
        ({"port": "x"}, "port must be"),
        ({"port": True}, "port must be"),
        ({"window": 0}, "window must be"),
        ({"window": [1]}, "window must be"),
        ({"binds": 0}, "binds must be"),
        ({"max_binds": 0}, "max_binds must be"),
        ({"bind": "both"}, "bind must be one of"),
        ({"tls": "yes"}, "tls must be true or false"),
        ({"tls": 1}, "tls must be true or false"),
        ({"response_timeout": 0}, "response_timeout must be"),
        ({"response_timeout": "nan"}, "response_timeout must be"),
        ({"enquire_link_seconds": -1}, "enquire_link_seconds must be"),
        ({"reconnect_min_seconds": 20}, "reconnect_min_seconds must be at most 15"),
        ({"system_type": {"a": 1}}, "system_type must be"),
        ({"service_type": "Ж"}, "service_type must be a text of Latin-1"),
        ({"addr_ton": 256}, "addr_ton must be"),
        ({"password": "pw"}, "'password'"),
        ({"windows": 5}, "there is no setting 'windows'"),
        ({"default_alphabet": "utf8"}, "default_alphabet must be one of"),
        ({"alphabet_1": "latin1"}, "alphabet_1 must be one of"),
        ({"alphabet": "gsm"}, "alphabet must be one of"),
        ({"gsm_data_coding": 256}, "gsm_data_coding must be"),
        ({"concatenation": "udh"}, "concatenation must be one of"),
        ({"transliterate": "sure"}, "transliterate must be"),
        ({"flash": "flash"}, "flash must be metadata.<key>"),
        ({"validity": "always"}, "validity must be one of"),
        ({"receipts": True}, "receipts must be"),
        ({"protocol_id": -1}, "protocol_id must be"),
        ({"priority_flag": "high"}, "priority_flag must be"),
        ({"source_ton": "alphanumeric"}, "source_ton must be"),
        ({"destination_npi": 300}, "destination_npi must be"),
        ({"default_sender": "a sender too long"}, "default_sender: "),
        ({"default_sender": "Ж"}, "default_sender: "),
        ({"ton_npi": [5, 0]}, "ton_npi must be"),
        ({"ton_npi": {"alpha": [5, 0]}}, "ton_npi must be"),
        ({"ton_npi": {"short": [3]}}, "ton_npi must be"),
        ({"ton_npi": {"short": [3, 256]}}, "ton_npi must be"),
        ({"ton_npi": {"short": [True, 0]}}, "ton_npi must be"),
        ({"errors": ["0x0B"]}, "errors must be"),
        ({"errors": {"0x0B": "sometimes"}}, "errors['0x0B'] must be"),
        ({"errors": {"nonsense": "permanent"}}, "errors['nonsense'] must be"),
        ({"tlvs": "0x1400"}, "tlvs must be"),
        ({"tlvs": {"entity": "metadata.x"}}, "tlvs['entity']"),
        ({"tlvs": {"0x1400": "dlt"}}, "tlvs['0x1400'].from"),
        ({"tlvs": {"0x1400": "metadata."}}, "tlvs['0x1400'].from"),
        ({"tlvs": {"0x1400": 5}}, "tlvs['0x1400']"),
        ({"tlvs": {"0x1400": {"type": "octets"}}}, "tlvs['0x1400'].from"),
        ({"tlvs": {"0x1400": {"from": "metadata.x", "type": "int3"}}}, "tlvs['0x1400'].type"),
        ({"tlvs": {"0x1400": {"from": "metadata.x", "type": []}}}, "tlvs['0x1400'].type"),
        ({"tlvs": {"0x1400": {"from": "metadata.x", "need": True}}}, "tlvs['0x1400']"),
        ({"tlvs": {"0x1400": {"from": "metadata.x", "required": "yes"}}}, "tlvs['0x1400'].required"),
        ({"tlvs": {"0x1400": {"from": "metadata.x", "max": 0}}}, "tlvs['0x1400'].max"),
        ({"tlvs": {"0x1400": {"from": "text:300", "type": "int1"}}}, "tlvs['0x1400'].from"),
        ({"tlvs": {"0x0424": "text:x"}}, "tlvs['0x0424']"),
        ({"tlvs": {"0x1400": "text:x", "5120": "text:y"}}, "one tag twice"),
        ({"tlvs": {"0x10000": "text:x"}}, "tlvs['0x10000']"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(settings, named):
    with pytest.raises(OperatorSettingsError) as found:
        read(**settings)
    assert named in str(found.value)
    assert "pw" not in str(found.value).replace("'password'", "")


def test_every_setting_is_in_the_reference():
    told = accounts.__doc__ or ""
    names = {field.name for field in dataclasses.fields(BindSettings)} | {
        "max_binds",
        "errors",
        "tlvs",
        "flash",
    }
    assert [name for name in sorted(names) if name not in told] == []


def test_it_refuses_a_password_that_no_pdu_can_carry_and_does_not_show_it():
    operator = OperatorSettings(7, "one", "sms", None, NEEDED, secrets={"password": "geheim€12"})
    with pytest.raises(OperatorSettingsError, match="password") as refused:
        accounts.read(operator)
    assert "geheim" not in str(refused.value)


def test_it_refuses_a_certificate_file_that_is_not_there(tmp_path):
    given = NEEDED | {"tls": True, "tls_ca_file": str(tmp_path / "none.pem")}
    with pytest.raises(OperatorSettingsError, match="tls_ca_file"):
        accounts.read(OperatorSettings(7, "one", "sms", None, given))
