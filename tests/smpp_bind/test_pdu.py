"""smpplib is the oracle where it is right; round trips are by hypothesis."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpplib import command_codes, consts, smpp

from smpp_bind import errors, pdu


class Sequence:
    sequence = 7

    def next_sequence(self) -> int:
        return 7


def by_smpplib(name, **fields):
    return smpp.make_pdu(name, client=Sequence(), **fields).generate()


def parsed_by_smpplib(data):
    return smpp.parse_pdu(data, client=Sequence(), allow_unknown_opt_params=True)


def octets(limit):
    return st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=limit)


byte = st.integers(0, 255)
short_messages = st.builds(
    pdu.ShortMessage,
    service_type=octets(5),
    source_ton=byte,
    source_npi=byte,
    source=octets(20),
    destination_ton=byte,
    destination_npi=byte,
    destination=octets(20),
    esm_class=byte,
    protocol_id=byte,
    priority=byte,
    schedule=octets(16),
    validity=octets(16),
    registered_delivery=byte,
    replace=byte,
    data_coding=byte,
    default_id=byte,
    message=st.binary(max_size=300),
    tlvs=st.lists(
        st.tuples(
            st.integers(0, 0xFFFF).filter(lambda tag: tag != pdu.TLV_MESSAGE_PAYLOAD), st.binary(max_size=40)
        ),
        max_size=4,
    ).map(tuple),
)

SM = pdu.ShortMessage(
    service_type="CMT",
    source_ton=5,
    source="ACME",
    destination_ton=1,
    destination_npi=1,
    destination="14155550101",
    esm_class=0x40,
    validity="000001000000000R",
    registered_delivery=1,
    data_coding=8,
    message=b"\x05\0\x03\x01\x02\x01hello",
)
FIELDS = {
    "service_type": "CMT",
    "source_addr_ton": 5,
    "source_addr": "ACME",
    "dest_addr_ton": 1,
    "dest_addr_npi": 1,
    "destination_addr": "14155550101",
    "esm_class": 0x40,
    "validity_period": "000001000000000R",
    "registered_delivery": 1,
    "data_coding": 8,
    "short_message": SM.message,
}


@pytest.mark.parametrize(("name", "command"), [("submit_sm", pdu.SUBMIT_SM), ("deliver_sm", pdu.DELIVER_SM)])
def test_it_writes_short_messages_as_smpplib_does(name, command):
    assert pdu.encode_short_message(command_id=command, sequence=7, sm=SM) == by_smpplib(name, **FIELDS)


@pytest.mark.parametrize("name", ["submit_sm", "deliver_sm"])
def test_it_reads_short_messages_that_smpplib_writes(name):
    assert pdu.decode_short_message(by_smpplib(name, **FIELDS)[16:]) == SM


def test_it_writes_data_sm_that_smpplib_reads():
    data = pdu.encode_data_sm(sequence=7, sm=SM._replace(validity="", message=b"payload"))
    read = parsed_by_smpplib(data)
    assert (read.command, read.destination_addr, read.message_payload) == (
        "data_sm",
        b"14155550101",
        b"payload",
    )


@pytest.mark.parametrize("kind", ["transceiver", "transmitter", "receiver"])
def test_it_writes_and_reads_binds_as_smpplib_does(kind):
    command = getattr(pdu, f"BIND_{kind.upper()}")
    data = by_smpplib(
        f"bind_{kind}", system_id="me", password="secret", system_type="VMA", address_range="^1"
    )
    assert data == pdu.encode_bind(
        command_id=command,
        sequence=7,
        system_id="me",
        password="secret",
        system_type="VMA",
        address_range="^1",
    )
    assert pdu.decode_bind(data[16:]) == pdu.Bind("me", "secret", "VMA", 0x34, 0, 0, "^1")


@pytest.mark.parametrize("command", [pdu.SUBMIT_SM, pdu.DELIVER_SM, pdu.DATA_SM])
def test_it_writes_answers_that_smpplib_reads(command):
    data = pdu.encode_id_resp(command_id=command | pdu.RESP, sequence=7, message_id="abc")
    read = parsed_by_smpplib(data)
    assert (read.command, read.sequence, read.status, read.message_id) == (
        command_codes.get_command_name(command | pdu.RESP),
        7,
        0,
        b"abc",
    )


def test_it_writes_a_bind_answer_with_its_version():
    tlvs = ((pdu.TLV_SC_INTERFACE_VERSION, b"\x34"),)
    data = pdu.encode_bind_resp(
        command_id=pdu.BIND_TRANSCEIVER | pdu.RESP, sequence=7, system_id="smsc", tlvs=tlvs
    )
    assert parsed_by_smpplib(data).system_id == b"smsc"
    assert pdu.decode_bind_resp(data[16:]) == pdu.BindResp("smsc", tlvs)
    assert pdu.decode_bind_resp(b"") == pdu.BindResp("", ())


@pytest.mark.parametrize(
    "name", ["enquire_link", "enquire_link_resp", "unbind", "unbind_resp", "generic_nack"]
)
def test_it_writes_empty_pdus_as_smpplib_does(name):
    command = command_codes.get_command_code(name)
    data = pdu.encode_empty(command_id=command, sequence=7, status=3)
    assert data == by_smpplib(name, status=3)
    assert pdu.parse_header(b"xx" + data, 2) == pdu.Header(16, command, 3, 7)


def test_it_knows_the_same_commands_and_statuses_as_smpplib():
    assert pdu.STATUS_NAMES[consts.SMPP_ESME_RTHROTTLED] == "ESME_RTHROTTLED"
    for name in ("RALYBND", "RMSGQFUL", "RTHROTTLED", "RINVCMDLEN", "RINVCMDID", "RINVPASWD", "RUNKNOWNERR"):
        assert getattr(pdu, f"ESME_{name}") == getattr(consts, f"SMPP_ESME_{name}")
    for name in (
        "RECEIPTED_MESSAGE_ID",
        "MESSAGE_STATE",
        "MESSAGE_PAYLOAD",
        "SAR_MSG_REF_NUM",
        "NETWORK_ERROR_CODE",
    ):
        assert getattr(pdu, f"TLV_{name}") == consts.OPTIONAL_PARAMS[name.lower()]


@given(short_messages)
def test_it_reads_back_every_short_message_it_writes(sm):
    assert pdu.decode_short_message(pdu.encode_short_message_body(sm)) == sm


@given(short_messages)
def test_it_reads_back_every_data_sm_it_writes(sm):
    read = pdu.decode_data_sm(pdu.encode_data_sm_body(sm))
    assert read == sm._replace(protocol_id=0, priority=0, schedule="", validity="", replace=0, default_id=0)


@given(st.builds(pdu.Bind, octets(16), octets(30), octets(12), byte, byte, byte, octets(40)))
def test_it_reads_back_every_bind_it_writes(bind):
    data = pdu.encode_bind(command_id=pdu.BIND_TRANSMITTER, sequence=1, **bind._asdict())
    assert pdu.decode_bind(data[16:]) == bind


@given(st.binary(max_size=200))
def test_it_reads_any_octets_or_raises_a_pdu_error(body):
    for read in (pdu.decode_short_message, pdu.decode_data_sm, pdu.decode_bind):
        with contextlib.suppress(errors.PduError):
            read(body)
    pdu.decode_id(body)
    pdu.decode_bind_resp(body)
    pdu.decode_tlvs(body, 0)


def test_it_sends_long_messages_in_message_payload():
    body = pdu.encode_short_message_body(SM._replace(message=b"x" * 255))
    assert struct.pack(">HH", pdu.TLV_MESSAGE_PAYLOAD, 255) in body
    assert struct.pack(">HH", pdu.TLV_MESSAGE_PAYLOAD, 254) not in pdu.encode_short_message_body(
        SM._replace(message=b"x" * 254)
    )


def test_it_keeps_short_message_when_a_peer_sends_both():
    body = pdu.encode_short_message_body(SM) + pdu.encode_tlv(pdu.TLV_MESSAGE_PAYLOAD, b"other")
    assert pdu.decode_short_message(body) == SM


def test_it_reads_tlvs_by_their_length_and_tolerates_a_cut_tail():
    body = pdu.encode_tlv(0x1400, b"vendor") + pdu.encode_tlv(pdu.TLV_RECEIPTED_MESSAGE_ID, b"12")
    assert pdu.decode_tlvs(body, 0) == ((0x1400, b"vendor"), (0x1E, b"12"))
    assert pdu.decode_tlvs(body[:-1], 0) == ((0x1400, b"vendor"), (0x1E, b"1"))
    assert pdu.decode_tlvs(body + b"\x04\x27\0", 0) == ((0x1400, b"vendor"), (0x1E, b"12"))


@pytest.mark.parametrize(
    ("body", "message_id"), [(b"", ""), (b"\0", ""), (b"ab", "ab"), (b"ab\0\x04\x27\0\0", "ab")]
)
def test_it_reads_ids_without_nul_and_with_tlvs_behind(body, message_id):
    assert pdu.decode_id(body) == message_id


def test_it_leaves_the_body_out_of_a_refusal():
    data = pdu.encode_id_resp(command_id=pdu.SUBMIT_SM_RESP, sequence=1, status=0x58)
    assert data == pdu.encode_empty(command_id=pdu.SUBMIT_SM_RESP, sequence=1, status=0x58)


def test_it_sends_long_passwords_whole_and_shows_none():
    data = pdu.encode_bind(
        command_id=pdu.BIND_RECEIVER, sequence=1, system_id="x", password="longer than eight"
    )
    bind = pdu.decode_bind(data[16:])
    assert bind.password == "longer than eight"
    assert "longer" not in repr(bind)


@pytest.mark.parametrize(
    "bad", [{"source": "a\0b"}, {"destination": "Ж"}, {"priority": 256}, {"message": b"x" * 70000}]
)
def test_it_refuses_what_has_no_form_on_the_wire(bad):
    for write in (pdu.encode_short_message_body, pdu.encode_data_sm_body):
        if bad == {"priority": 256} and write is pdu.encode_data_sm_body:
            continue
        with pytest.raises(errors.PduError):
            write(SM._replace(**bad))


@pytest.mark.parametrize("cut", [0, 3, 10, 30, -2])
def test_it_says_how_to_nack_a_body_cut_short(cut):
    body = pdu.encode_short_message_body(SM)[:cut]
    with pytest.raises(errors.PduError) as caught:
        pdu.decode_short_message(body)
    assert caught.value.status == (pdu.ESME_RINVMSGLEN if cut == -2 else pdu.ESME_RINVCMDLEN)
