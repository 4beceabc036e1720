import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import text as gateway_text
from smpp_bind import decoding, encoding, errors, pdu

LATIN1 = encoding.Coding(latin1_data_coding=3)
gsm_char = st.sampled_from(
    sorted((set(encoding.GSM_BASIC) - {"\x1b"}) | set(encoding.GSM_EXTENSION.values()))
)
gsm_text = st.text(gsm_char, max_size=1000)


def joined(segments, *, header):
    octets = b"".join(part.message[header:] for part in segments.parts)
    return decoding.decode(8 if segments.alphabet == "ucs2" else 0, octets)


def test_it_has_the_128_characters_of_the_standard():
    assert len(encoding.GSM_BASIC) == 128
    assert len(set(encoding.GSM_BASIC)) == 128
    assert encoding.GSM_BASIC[0x00] == "@"
    assert encoding.GSM_BASIC[0x5F] == "§"
    assert encoding.GSM_BASIC[0x7F] == "à"
    assert encoding.GSM_BASIC[0x09] == "Ç"


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("@£$", b"\0\x01\x02"),
        ("§", b"\x5f"),
        ("ñ_", b"\x7d\x11"),
        ("€", b"\x1b\x65"),
        ("[~]", b"\x1b\x3c\x1b\x3d\x1b\x3e"),
        ("{\\}|^\f", b"\x1b\x28\x1b\x2f\x1b\x29\x1b\x40\x1b\x14\x1b\x0a"),
        ("a\r\n", b"a\r\n"),
    ],
)
def test_it_writes_and_reads_gsm(text, octets):
    assert encoding.encode_gsm(text) == octets
    assert encoding.decode_gsm(octets) == text


@pytest.mark.parametrize("text", ["`", "ç", "\x1b", "ж", "“", "á", "\0", "😀"])
def test_it_does_not_take_for_gsm_what_is_not(text):
    assert encoding.encode_gsm(text) is None


@pytest.mark.parametrize(
    ("octets", "text"), [(b"\x1b", " "), (b"a\x1bb", "ab"), (b"\x1b\x1b\x65", " €"), (b"\xff", "\ufffd")]
)
def test_it_reads_broken_gsm_all_the_same(octets, text):
    assert encoding.decode_gsm(octets) == text


@given(gsm_text)
def test_it_reads_back_all_gsm_it_writes(text):
    octets = encoding.encode_gsm(text)
    assert octets is not None
    assert encoding.decode_gsm(octets) == text


@pytest.mark.parametrize(
    ("text", "coding", "alphabet", "data_coding"),
    [
        ("hello", encoding.DEFAULT_CODING, "gsm", 0),
        ("ç", encoding.DEFAULT_CODING, "ucs2", 8),
        ("hello", LATIN1, "gsm", 0),
        ("ç", LATIN1, "latin1", 3),
        ("ж", LATIN1, "ucs2", 8),
        ("€", LATIN1, "gsm", 0),
        ("hello@", encoding.Coding(basic="latin1"), "latin1", 0),
        ("£ñ", encoding.Coding(basic="latin1"), "latin1", 0),
        ("€", encoding.Coding(basic="latin1"), "ucs2", 8),
        ("ç", encoding.Coding(basic="latin1"), "ucs2", 8),
        ("ç", encoding.Coding(basic="latin1", latin1_data_coding=3), "latin1", 3),
        ("[hello]", encoding.Coding(basic="ascii"), "ascii", 0),
        ("£", encoding.Coding(basic="ascii"), "ucs2", 8),
        ("hello", encoding.Coding(basic="ucs2"), "ucs2", 0),
        ("[€]", encoding.Coding(basic="gsm_packed"), "gsm_packed", 0),
        ("hello", encoding.Coding(basic_data_coding=1), "gsm", 1),
    ],
)
def test_it_takes_the_first_alphabet_that_can_carry_the_text(text, coding, alphabet, data_coding):
    segments = encoding.segment(text=text, coding=coding)
    (part,) = segments.parts
    assert (segments.alphabet, part.data_coding) == (alphabet, data_coding)
    assert decoding.decode(data_coding, part.message, {data_coding: alphabet}) == text


@given(
    gsm_text,
    st.sampled_from(["gsm", "gsm_packed", "latin1", "ascii", "ucs2"]),
    st.sampled_from(["udh8", "udh16", "sar"]),
)
def test_it_writes_what_the_other_end_reads_in_the_same_alphabet(text, basic, mode):
    coding = encoding.Coding(basic=basic)
    segments = encoding.segment(text=text, coding=coding, concatenation=mode)
    read = [
        decoding.text_of(
            pdu.ShortMessage(
                esm_class=part.esm_class, message=part.message, tlvs=part.tlvs, data_coding=part.data_coding
            ),
            {0: basic},
        )
        for part in segments.parts
    ]
    # The carriage return that fills up septets is not told from one that ends a text.
    assert "".join(read) == text or (basic == "gsm_packed" and "\r" in text)
    assert all(len(part.message) <= (160 if basic != "gsm_packed" else 140) for part in segments.parts)


@pytest.mark.parametrize(
    ("septets", "fill", "octets"),
    [
        (b"hellohello", 0, "e8329bfd4697d9ec37"),
        (b"", 0, ""),
        (b"1234567", 0, "31d98c56b3dd1a"),
        (b"a", 1, "c2"),
    ],
)
def test_it_packs_septets(septets, fill, octets):
    assert encoding.pack_septets(septets, fill=fill).hex() == octets


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("\u201cIt\u2019s 5\u00a0\u20ac\u201d \u2013 really\u2026", '"It\'s 5 €" - really...'),
        ("caf\u00e9 \u2013 \u00e7a", None),
        ("\u2026" * 70, None),
        ("plain", "plain"),
        ("\uff21\uff22\uff23", "ABC"),
        ("a\tb\u200b", "a b"),
    ],
)
def test_it_makes_typography_plain_where_that_makes_the_text_gsm(text, sent):
    segments = encoding.segment(text=text, coding=encoding.Coding(transliterate=True))
    if sent is None:
        assert segments.alphabet == "ucs2"
        assert segments.parts[0].message.decode("utf-16-be") == text
    else:
        assert segments.parts[0].message == encoding.encode_gsm(sent)


@given(st.text(max_size=600))
def test_it_never_takes_more_parts_for_typography_made_plain(text):
    plain = encoding.segment(text=text, coding=encoding.Coding(transliterate=True))
    assert len(plain.parts) <= len(encoding.segment(text=text).parts)


@pytest.mark.parametrize(
    ("text", "coding", "mode", "sizes"),
    [
        ("a" * 160, LATIN1, "udh8", [160]),
        ("a" * 161, LATIN1, "udh8", [153, 8]),
        ("a" * 161, LATIN1, "udh16", [152, 9]),
        ("a" * 161, LATIN1, "sar", [153, 8]),
        ("a" * 307, LATIN1, "udh8", [153, 153, 1]),
        ("ç" * 140, LATIN1, "udh8", [140]),
        ("ç" * 141, LATIN1, "udh8", [134, 7]),
        ("ç" * 141, LATIN1, "udh16", [133, 8]),
        ("ж" * 70, LATIN1, "udh8", [140]),
        ("ж" * 71, LATIN1, "udh8", [134, 8]),
        ("ж" * 71, LATIN1, "udh16", [132, 10]),
        ("€" * 80, LATIN1, "udh8", [160]),
        ("€" * 81, LATIN1, "udh8", [152, 10]),
        ("😀" * 36, LATIN1, "udh8", [132, 12]),
        ("", LATIN1, "udh8", [0]),
    ],
)
def test_it_cuts_where_the_standard_says(text, coding, mode, sizes):
    header = 0 if len(sizes) == 1 else {"udh8": 6, "udh16": 7, "sar": 0}[mode]
    parts = encoding.segment(text=text, coding=coding, concatenation=mode).parts
    assert [len(part.message) - header for part in parts] == sizes


@given(gsm_text, st.sampled_from(["udh8", "udh16", "sar"]))
def test_it_never_splits_an_escape_pair(text, mode):
    segments = encoding.segment(text=text, concatenation=mode)
    header = 0 if len(segments.parts) == 1 or mode == "sar" else {"udh8": 6, "udh16": 7}[mode]
    assert joined(segments, header=header) == text
    for part in segments.parts:
        assert not part.message[header:].endswith(b"\x1b")
        assert len(part.message[header:]) + (8 if header else 0) <= 161


@given(st.text(st.sampled_from("aж😀€"), min_size=71, max_size=400).filter(lambda text: "ж" in text))
def test_it_never_splits_a_surrogate_pair(text):
    segments = encoding.segment(text=text)
    for part in segments.parts:
        assert len(part.message) <= 140
        part.message[6 if len(segments.parts) > 1 else 0 :].decode("utf-16-be")
    assert joined(segments, header=6 if len(segments.parts) > 1 else 0) == text


def test_it_numbers_parts_in_their_header():
    first, second = encoding.segment(text="a" * 161, reference=0x1234).parts
    assert (first.esm_class, first.message[:6], second.message[:6]) == (
        pdu.ESM_CLASS_UDHI,
        b"\x05\0\x03\x34\x02\x01",
        b"\x05\0\x03\x34\x02\x02",
    )
    first, _ = encoding.segment(text="a" * 161, concatenation="udh16", reference=0x51234).parts
    assert first.message[:7] == b"\x06\x08\x04\x12\x34\x02\x01"


def test_it_numbers_parts_in_sar_tlvs():
    _, second = encoding.segment(text="a" * 161, concatenation="sar", reference=0x1234).parts
    assert second.esm_class == 0
    assert second.tlvs == (
        (pdu.TLV_SAR_MSG_REF_NUM, b"\x12\x34"),
        (pdu.TLV_SAR_TOTAL_SEGMENTS, b"\x02"),
        (pdu.TLV_SAR_SEGMENT_SEQNUM, b"\x02"),
    )


def test_it_sends_a_long_text_whole_in_message_payload():
    (part,) = encoding.segment(text="a" * 500, concatenation="payload").parts
    assert (part.message, part.tlvs) == (b"", ((pdu.TLV_MESSAGE_PAYLOAD, b"a" * 500),))
    (part,) = encoding.segment(text="a" * 160, concatenation="payload").parts
    assert (part.message, part.tlvs) == (b"a" * 160, ())


def test_it_refuses_what_cannot_be_joined_or_written():
    assert len(encoding.segment(text="a" * 153 * 255).parts) == 255
    with pytest.raises(errors.UnencodableError):
        encoding.segment(text="a" * (153 * 255 + 1))
    with pytest.raises(errors.UnencodableError):
        encoding.segment(text="\ud83d")
    with pytest.raises(errors.UnencodableError):
        encoding.segment(text="ж" * 32_768, concatenation="payload")


@given(gsm_text, st.sampled_from(["gsm_packed", "ascii"]))
def test_it_makes_as_many_parts_of_any_seven_bit_alphabet(text, basic):
    segments = encoding.segment(text=text, coding=encoding.Coding(basic=basic))
    if segments.alphabet == basic:
        assert len(segments.parts) == gateway_text.analyse(text)[1]


@given(st.text(st.sampled_from("a@§`ç€[ж😀\f\n"), max_size=700) | gsm_text)
def test_it_makes_the_parts_that_the_gateway_counts(text):
    segments = encoding.segment(text=text)
    name = "GSM-7" if segments.alphabet == "gsm" else "UCS-2"
    assert (name, len(segments.parts)) == gateway_text.analyse(text)
