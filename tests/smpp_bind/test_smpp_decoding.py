"""What handsets' messages are read as, whatever the operator makes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp_bind import decoding, encoding, pdu

ALPHABETS = st.dictionaries(
    st.integers(0, 255), st.sampled_from([*decoding._READERS, "gsm_packed", "latin1"])
)


def sm(message: bytes, *, data_coding=0, header: bytes | None = None, **fields) -> pdu.ShortMessage:
    if header is not None:
        message = bytes((len(header),)) + header + message
        fields["esm_class"] = pdu.ESM_CLASS_UDHI
    return pdu.ShortMessage(message=message, data_coding=data_coding, **fields)


def packed(text: str, *, skip: int = 0) -> bytes:
    septets = encoding.encode_gsm(text) or b""
    bits = sum(septet << 7 * place for place, septet in enumerate(septets))
    return (bits << skip).to_bytes(-(-(len(septets) * 7 + skip) // 8), "little")


@pytest.mark.parametrize(
    ("data_coding", "octets", "text"),
    [
        (0, b"\0\x1b\x65", "@€"),
        (1, b"@", "@"),
        (1, b"caf\xe9", "café"),
        (2, b"STOP", "STOP"),
        (2, b"\0\x01\xff", "0001ff"),
        (3, b"\xe7", "ç"),
        (4, b"\xe7", "ç"),
        (4, "ж\n".encode(), "ж\n"),
        (4, b"", ""),
        (5, "ア".encode("shift_jis"), "ア"),
        (6, b"\xd6", "ж"),
        (7, b"\xe0", "א"),
        (8, b"\x04\x36", "ж"),
        (8, b"\xfe\xff\x04\x36", "ж"),
        (8, b"\xff\xfe\x36\x04", "ж"),
        (8, b"\x04\x36\x04", "ж\ufffd"),
        (8, b"\x04", "\ufffd"),
        (8, b"\xd8\x3d", "\ud83d"),
        (8, b"\xd8\x3d\xde\x00", "\U0001f600"),
        (0x0A, "ア".encode("iso2022_jp"), "ア"),
        (0x0E, "가".encode("euc_kr"), "가"),
        (0x0F, b"a", "a"),
        (0x10, b"\0", "@"),
        (0x14, b"\x01\x02", "0102"),
        (0x18, b"\x04\x36", "ж"),
        (0x20, b"\xc8\x01", "c801"),
        (0x58, b"\x04\x36", "ж"),
        (0x80, b"\0", "@"),
        (0xC8, b"\0", "@"),
        (0xE0, b"\x04\x36", "ж"),
        (0xF0, b"\0", "@"),
        (0xF5, b"\xe7", "ç"),
        (0xF6, b"\0", "00"),
    ],
)
def test_it_reads_every_coding_of_the_field(data_coding, octets, text):
    assert decoding.decode(data_coding, octets) == text


@pytest.mark.parametrize(
    ("data_coding", "octets", "alphabets", "text"),
    [
        (0, b"\xe7@", {0: "latin1"}, "ç@"),
        (0, b"\x04\x36", {0: "ucs2"}, "ж"),
        (0, "ж".encode(), {0: "utf8"}, "ж"),
        (1, b"\0", {1: "gsm"}, "@"),
        (0, packed("hello€"), {0: "gsm_packed"}, "hello€"),
        (0xF1, b"@", {0: "latin1"}, "@"),
        (3, b"\0", {0: "ascii", 3: "gsm"}, "@"),
        (8, b"\x04\x36", {0: "latin1"}, "ж"),
        (0, b"a", {0: "no such"}, "a"),
    ],
)
def test_it_goes_by_the_operators_own_alphabets(data_coding, octets, alphabets, text):
    assert decoding.decode(data_coding, octets, alphabets) == text


@pytest.mark.parametrize("length", range(18))
def test_it_unpacks_septets_of_any_number(length):
    text = "abcdefghijklmnopqr"[:length]
    assert decoding.text_of(sm(packed(text)), {0: "gsm_packed"}) == text


@pytest.mark.parametrize("header", [b"\0\x03\x07\x02\x01", b"\x08\x04\x01\x07\x02\x01", b"\x24\x01\x01"])
def test_it_aligns_packed_septets_after_a_header(header):
    skip = -8 * (len(header) + 1) % 7
    message = sm(packed("hello world", skip=skip), header=header)
    assert decoding.text_of(message, {0: "gsm_packed"}) == "hello world"


@pytest.mark.parametrize(
    ("header", "place"),
    [
        (b"\0\x03\x07\x02\x01", (7, 2, 1)),
        (b"\x08\x04\x01\x07\x02\x02", (263, 2, 2)),
        (b"\x05\x04\x0b\x84\x23\xf0\0\x03\x07\x02\x01", (7, 2, 1)),
        (b"\x24\x01\x01\0\x03\x07\x02\x01\x25\x01\x01", (7, 2, 1)),
        (b"\0\x03\x07\x02\x01\x08\x04\0\x09\x03\x02", (9, 3, 2)),
        (b"\0\x03\x07\x02\x03", None),
        (b"\0\x03\x07\x02\0", None),
        (b"\0\x03\x07\0\0", None),
        (b"\0\x04\x07\x02\x01\0", None),
        (b"\0\x03\x07", None),
        (b"\x70", None),
        (b"\x24\x01\x01", None),
        (b"", None),
    ],
)
def test_it_reads_the_header_and_passes_over_what_it_does_not_know(header, place):
    message = sm(b"hello", header=header)
    assert decoding.place_of(message) == place
    assert decoding.text_of(message) == "hello"


@pytest.mark.parametrize("octets", [b"Hello", b"\x05", b"\x05\0\x03\x01\x02", b""])
def test_it_takes_a_header_longer_than_the_message_for_text(octets):
    message = pdu.ShortMessage(esm_class=pdu.ESM_CLASS_UDHI, message=octets)
    assert decoding.place_of(message) is None
    assert decoding.text_of(message) == encoding.decode_gsm(octets)


def sar(reference: bytes, total: bytes, number: bytes) -> pdu.Tlvs:
    tags = (pdu.TLV_SAR_MSG_REF_NUM, pdu.TLV_SAR_TOTAL_SEGMENTS, pdu.TLV_SAR_SEGMENT_SEQNUM)
    return tuple(zip(tags, (reference, total, number), strict=True))


@pytest.mark.parametrize(
    ("tlvs", "place"),
    [
        (sar(b"\x01\x07", b"\x03", b"\x02"), (263, 3, 2)),
        (sar(b"\x07", b"\0\x03", b"\x02"), (7, 3, 2)),
        (sar(b"\x01\x07", b"\x03", b"\x04"), None),
        (sar(b"\x01\x07", b"\xff\xff", b"\x04"), None),
        (sar(b"\x01" * 9, b"\x03", b"\x02"), None),
        (sar(b"\x01\x07", b"\x03", b"\x02")[1:], None),
        (sar(b"", b"", b""), None),
    ],
)
def test_it_reads_the_sar_tlvs(tlvs, place):
    assert decoding.place_of(sm(b"hello", tlvs=tlvs)) == place
    # A header about something else does not hide them.
    assert decoding.place_of(sm(b"hello", header=b"\x24\x01\x01", tlvs=tlvs)) == place


@pytest.mark.parametrize("mode", ["udh8", "udh16", "sar"])
def test_it_reads_the_place_and_text_of_a_part(mode):
    part = encoding.segment(text="ж" * 100, concatenation=mode, reference=300).parts[1]
    message = pdu.ShortMessage(
        esm_class=part.esm_class, message=part.message, tlvs=part.tlvs, data_coding=part.data_coding
    )
    assert decoding.place_of(message) == (300 & 0xFF if mode == "udh8" else 300, 2, 2)
    assert decoding.text_of(message) == "ж" * (34 if mode == "udh16" else 33)


def test_it_reads_a_header_inside_message_payload():
    message = sm(b"x" * 300, header=b"\0\x03\x07\x02\x01")
    body = pdu.encode_short_message_body(message)
    read = pdu.decode_short_message(body)
    assert (decoding.text_of(read), decoding.place_of(read)) == ("x" * 300, (7, 2, 1))


@given(st.text(st.sampled_from("aж😀€\ud83d"), max_size=90))
def test_it_keeps_halves_of_pairs_for_the_other_part(text):
    octets = text.encode("utf-16-be", "surrogatepass")
    cut = len(octets) // 4 * 2
    halves = [decoding.decode(8, half) for half in (octets[:cut], octets[cut:])]
    assert "".join(halves).encode("utf-16-be", "surrogatepass") == octets


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=150),
    st.lists(st.tuples(st.sampled_from([0x20C, 0x20E, 0x20F, 0x424, 7]), st.binary(max_size=5)), max_size=4),
    ALPHABETS,
)
def test_it_reads_any_octets(esm_class, data_coding, octets, tlvs, alphabets):
    message = pdu.ShortMessage(esm_class=esm_class, data_coding=data_coding, message=octets, tlvs=tuple(tlvs))
    assert isinstance(decoding.text_of(message, alphabets), str)
    place = decoding.place_of(message)
    assert place is None or (1 <= place.number <= place.total <= 255 and place.reference <= 0xFFFF)
