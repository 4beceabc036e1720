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
        USUAL.replace("2611210312", "2026-11-21 03:12:00"),
        USUAL.replace("2611210312", "26/11/21 03:12"),
        USUAL.replace("2611210312", "261121031200000+"),
        USUAL.replace("2611210312", "261121051200008+"),
        USUAL.replace("2611210312", "261120221200020-"),
        USUAL.replace("id:0123456789", "id: 0123456789 "),
        USUAL.replace("id:0123456789", 'id:"0123456789"'),
        USUAL.replace("id:0123456789", "id:'0123456789'").lower(),
        USUAL.replace("sub:001", "sub:1/1"),
        USUAL.replace("stat:DELIVRD", "stat: DELIVRD;"),
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
    st.binary(max_size=60)
    | st.text(st.sampled_from("id:statsubdlvrderrtext 0x\0é"), max_size=120).map(
        lambda t: t.encode("latin-1")
    ),
    st.sampled_from([0, 4, 8, 0x20, 0x44]),
    st.sampled_from([0, 8, 0xF4]),
    st.lists(st.tuples(st.sampled_from([0x1E, 0x427, 0x423]), st.binary(max_size=5)), max_size=3),
)
def test_it_never_fails_and_gives_what_can_be_stored(octets, esm_class, data_coding, tlvs):
    sm = pdu.ShortMessage(esm_class=esm_class, data_coding=data_coding, message=octets, tlvs=tuple(tlvs))
    read = dlr.parse(sm)
    if read is not None:
        texts = (
            dlr.canonical(read.remote_id),
            read.raw_state,
            read.error_code or "",
            read.text,
            read.other_id,
        )
        assert "\0" not in "".join(texts).encode().decode()


def test_it_keeps_words_that_are_cut_by_a_nul():
    read = receipt(USUAL.replace("DELIVRD", "DEL\0IVRD"), tlvs=((pdu.TLV_RECEIPTED_MESSAGE_ID, b"a\0b\0\0"),))
    assert read is not None
    assert (read.raw_state, read.state, read.remote_id) == ("DEL IVRD", "unknown", "ab")


# As operators and gateways have sent them.
@pytest.mark.parametrize(
    ("text", "tlvs", "expected"),
    [
        (
            "id:1526758174 submit date:1701240904 done date:1701240904 stat:DELIVRD err:000 text:hellow",
            (),
            ("1526758174", "delivered", "000", "2017-01-24 09:04:00+00:00", ""),
        ),
        (
            (
                "id:a29f6845555647139e5c8f3b817f2c9a sub:001 dlvrd:001 submit date:141023215253 "
                "done date:141023215259 stat:DELIVRD err:000 text:"
            ),
            (),
            ("a29f6845555647139e5c8f3b817f2c9a", "delivered", "000", "2014-10-23 21:52:59+00:00", ""),
        ),
        (
            (
                "id:rdwjwxns18krxr9936ey96ymcw sub:000 dlvrd:000 submit date:180711070003912+ "
                "done date:180711070000012+ stat:UNDELIV err:000"
            ),
            (),
            ("rdwjwxns18krxr9936ey96ymcw", "undeliverable", "000", "2018-07-11 04:00:00+00:00", ""),
        ),
        (
            (
                "id:117062714244798261 sub:001 dlvrd:001 submit date:1706271624 done date:1706271624 stat:DELIVRD "
                "err:0000 text:H\x1bello world"
            ),
            ((0x0423, b"\0\0\0"), (0x1454, b"\0\0\0\1"), (0x1418, b"\0\0\0\0")),
            ("117062714244798261", "delivered", "0000", "2017-06-27 16:24:00+00:00", ""),
        ),
        (
            (
                "id:0489708364 sub:001 dlvrd:001 submit date:1810151907 done date:1810151907 stat:DELIVRD err:000 "
                "text:\x04\x1f\x04@\x048\x042\x045\x04B"
            ),
            ((0x000E, b"\1"), (0x001E, b"1d305b4c\0"), (0x0427, b"\2")),
            ("1d305b4c", "delivered", "000", "2018-10-15 19:07:00+00:00", "0489708364"),
        ),
        (
            (
                "id:6C7C7DE28BB3E961947700000000FE37 sub:001 dlvrd:000 submit date:1907311208 "
                "done date:1907311208 stat:UNDELIV err:001 Text:Ceci est un tet."
            ),
            (),
            (
                "6C7C7DE28BB3E961947700000000FE37",
                "undeliverable",
                "001",
                "2019-07-31 12:08:00+00:00",
                "",
            ),
        ),
        (
            "id:7220bb6bd0be98fa628de66590f80070 submit date:1607041032 done date:1607041033 stat:FAILED err:E-5",
            (),
            ("7220bb6bd0be98fa628de66590f80070", "undeliverable", "E-5", "2016-07-04 10:33:00+00:00", ""),
        ),
    ],
)
def test_it_reads_what_operators_have_sent(text, tlvs, expected):
    read = receipt(text, tlvs=tlvs)
    assert read is not None
    assert (read.remote_id, read.state, read.error_code, str(read.done_at), read.other_id) == expected


@pytest.mark.parametrize("codec", ["latin-1", "utf-16-be", "utf-16-le", "utf-16"])
@pytest.mark.parametrize("data_coding", [0, 3, 8, 0xF6])
def test_it_goes_by_the_octets_whatever_data_coding_says(codec, data_coding):
    sm = pdu.ShortMessage(esm_class=4, data_coding=data_coding, message=USUAL.encode(codec))
    assert dlr.parse(sm) == receipt(USUAL)


def test_it_keeps_a_handsets_words_that_only_look_like_a_receipt():
    assert receipt("id:7 stat:fine", esm_class=0) is None
    assert receipt("id:7 stat:fine done date:2611210312", esm_class=0) is not None
    assert receipt("id:7 stat:fine") is not None


@pytest.mark.parametrize(
    ("answered", "receipted"),
    [
        ("1234", "1234"),
        ("0001234", "1234"),
        ("1234", "0000001234"),
        ("ABCDEF", "abcdef"),
        ("1a2b3c", "0x1A2B3C"),
        ("0X001a2b3c", "1A2B3C"),
        ("1234", ' "1234" '),
        ("not-a-number", "NOT-a-number"),
        ("0", "000"),
        ("", ""),
    ],
)
def test_it_makes_answer_and_receipt_ids_meet(answered, receipted):
    assert dlr.canonical(receipted) == dlr.canonical(answered)


@given(st.from_regex(r"[0-9A-Za-z-]{1,40}", fullmatch=True), st.integers(0, 9))
def test_it_folds_an_id_once_and_for_all(remote_id, zeros):
    folded = dlr.canonical(remote_id)
    assert folded
    if folded[0] != "x":
        assert dlr.canonical(folded) == folded
        assert dlr.canonical("0" * zeros + folded) == folded


def test_an_id_is_cut_where_no_index_holds_it():
    assert dlr.canonical("a" * 12_000) == "a" * dlr.LONGEST_ID
    assert dlr.canonical("1" * 12_000) == "1" * dlr.LONGEST_ID


def test_a_state_of_odd_length_is_none():
    odd = ((pdu.TLV_MESSAGE_STATE, b"\2" * 2000),)
    assert receipt("id:a1 stat:DELIVRD", tlvs=odd).state == "delivered"
