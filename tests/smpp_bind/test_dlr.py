import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp_bind import dlr, pdu

USUAL = "id:0123456789 sub:001 dlvrd:001 submit date:2611210311 done date:2611210312 stat:DELIVRD err:000 text:hello id:9"
DONE = dt.datetime(2026, 11, 21, 3, 12, tzinfo=dt.UTC)


def receipt(text="", *, esm_class=4, tlvs=(), data_coding=0):
    octets = text.encode("utf-16-be" if data_coding == 8 else "latin-1")
    return dlr.parse(
        pdu.ShortMessage(esm_class=esm_class, message=octets, tlvs=tlvs, data_coding=data_coding)
    )


def test_it_reads_the_text_of_appendix_b():
    assert receipt(USUAL) == dlr.ParsedReceipt(
        "0123456789", "delivered", "DELIVRD", "000", DONE, is_final=True, text="hello id:9"
    )


@pytest.mark.parametrize(
    "text",
    [
        USUAL.upper().replace("HELLO ID", "hello id"),
        USUAL.replace("sub:001 dlvrd:001 ", ""),
        USUAL.replace("2611210312", "261121031200"),
        USUAL.replace("2611210312", "20261121031200"),
        USUAL.replace("2611210312", "202611210312"),
        USUAL.replace(":", ": ", 7),
        USUAL.replace("done date", "done_date").replace("submit date", "SubmitDate"),
        "  " + USUAL.replace(" sub", "\r\nsub"),
        USUAL.replace(" sub", ", sub"),
        "stat:DELIVRD id:0123456789 done date:2611210312 err:000 text:hello id:9",
    ],
)
def test_it_reads_the_forms_of_the_field(text):
    read = receipt(text)
    assert read is not None
    assert (read.remote_id, read.state, read.error_code, read.done_at) == (
        "0123456789",
        "delivered",
        "000",
        DONE,
    )
    assert read.text == "hello id:9"


def test_it_reads_a_minimal_text():
    assert receipt("id:abc-DEF_1 stat:UNDELIV") == dlr.ParsedReceipt(
        "abc-DEF_1", "undeliverable", "UNDELIV", None, None, is_final=True, text=""
    )


@pytest.mark.parametrize(
    ("stat", "state", "final"),
    [
        ("DELIVRD", "delivered", True),
        ("EXPIRED", "expired", True),
        ("DELETED", "deleted", True),
        ("UNDELIV", "undeliverable", True),
        ("REJECTD", "rejected", True),
        ("SKIPPED", "skipped", True),
        ("ACCEPTD", "accepted", False),
        ("ENROUTE", "enroute", False),
        ("SCHEDULED", "scheduled", False),
        ("UNKNOWN", "unknown", False),
        ("delivrd", "delivered", True),
        ("Delivered", "delivered", True),
        ("BLORB", "unknown", False),
        ("", "unknown", False),
    ],
)
def test_it_maps_words_and_keeps_unknown_ones_raw(stat, state, final):
    read = receipt(USUAL.replace("DELIVRD", stat))
    assert read is not None
    assert (read.state, read.raw_state, read.is_final) == (state, stat, final)


@pytest.mark.parametrize(
    ("value", "state"),
    [
        (0, "scheduled"),
        (1, "enroute"),
        (2, "delivered"),
        (3, "expired"),
        (5, "undeliverable"),
        (8, "rejected"),
        (200, "unknown"),
    ],
)
def test_it_reads_tlvs_alone(value, state):
    tlvs = (
        (pdu.TLV_RECEIPTED_MESSAGE_ID, b"abc\0"),
        (pdu.TLV_MESSAGE_STATE, bytes((value,))),
        (pdu.TLV_NETWORK_ERROR_CODE, b"\x03\x01\x05"),
    )
    read = receipt(tlvs=tlvs)
    assert read is not None
    assert (read.remote_id, read.state, read.raw_state, read.error_code) == ("abc", state, str(value), "261")


def test_it_prefers_tlvs_to_the_text_and_keeps_the_word():
    tlvs = ((pdu.TLV_RECEIPTED_MESSAGE_ID, b"other"), (pdu.TLV_MESSAGE_STATE, b"\x03"))
    read = receipt(USUAL, tlvs=tlvs)
    assert read is not None
    assert (read.remote_id, read.state, read.raw_state, read.error_code) == (
        "other",
        "expired",
        "DELIVRD",
        "000",
    )


def test_it_falls_back_to_the_word_when_the_tlv_is_of_no_table():
    read = receipt(USUAL, tlvs=((pdu.TLV_MESSAGE_STATE, b"\x63"),))
    assert read is not None
    assert read.state == "delivered"


@pytest.mark.parametrize("esm_class", [0x04, 0x07, 0x08, 0x20])
def test_it_goes_by_the_type_bits(esm_class):
    read = receipt(USUAL, esm_class=esm_class)
    assert read is not None
    assert read.is_final is (esm_class != 0x20)


def test_it_takes_esm_class_0_for_a_receipt_only_when_the_text_is_one():
    assert receipt(USUAL, esm_class=0) is not None
    assert receipt("id:7 stat:DELIVRD", esm_class=0) is not None
    assert receipt("my id:7 and a statement", esm_class=0) is None
    assert receipt("grid:7 thermostat:3", esm_class=0) is None
    assert receipt("hello", esm_class=0) is None
    assert receipt("", esm_class=0) is None


def test_it_takes_esm_class_0_with_the_tlvs_of_a_receipt_for_one():
    tlvs = ((pdu.TLV_RECEIPTED_MESSAGE_ID, b"1\0"), (pdu.TLV_MESSAGE_STATE, b"\x02"))
    assert receipt(esm_class=0, tlvs=tlvs) is not None
    assert receipt(esm_class=0, tlvs=tlvs[1:]) is None


@pytest.mark.parametrize("esm_class", [0x10, 0x18])
def test_it_leaves_user_acknowledgements_and_aborts_alone(esm_class):
    assert receipt(USUAL, esm_class=esm_class) is None


def test_it_reads_ucs2_and_headers():
    assert receipt(USUAL, data_coding=8) == receipt(USUAL)
    assert receipt("\x05\0\x03\x01\x01\x01" + USUAL, esm_class=0x44) == receipt(USUAL)


@pytest.mark.parametrize("done", ["", "0", "2613210312", "abc", "26112103", "٢٦١١٢١٠٣١٢", "999999999999999"])
def test_it_does_without_a_time_that_is_none(done):
    read = receipt(USUAL.replace("2611210312", done).encode("ascii", "replace").decode())
    assert read is not None
    assert read.done_at is None
    assert read.remote_id == "0123456789"


@given(
    st.text(st.sampled_from("id:statsubdlvrderrtext 0x\0é"), max_size=120),
    st.sampled_from([0, 4, 8, 0x20, 0x44]),
)
def test_it_never_fails(text, esm_class):
    receipt(text, esm_class=esm_class)


@pytest.mark.parametrize(
    ("answered", "receipted", "mode"),
    [
        ("1234", "1234", "as_is"),
        ("0001234", "1234", "as_is"),
        ("1234", "0000001234", "as_is"),
        ("ABCDEF", "abcdef", "as_is"),
        ("4660", "1234", "hex_to_decimal"),
        ("4660", "00001234", "hex_to_decimal"),
        ("0000004660", "1234", "hex_to_decimal"),
        ("1A2B", "0000006699", "decimal_to_hex"),
        ("0", "0", "decimal_to_hex"),
        ("not-a-number", "NOT-a-number", "hex_to_decimal"),
        ("0", "000", "as_is"),
        ("", "", "as_is"),
    ],
)
def test_it_makes_answer_and_receipt_ids_meet(answered, receipted, mode):
    assert dlr.normalise_id(receipted, mode) == dlr.canonical(answered)
