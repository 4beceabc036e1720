"""Texts to user data and back: GSM 03.38, Latin-1, UCS-2, and long ones in parts.

The GSM alphabet is 3GPP TS 23.038, section 6.2.1, with its extension table; septets travel unpacked, one an
octet, as SMPP has it. smpplib's table is not used: it takes the backtick and refuses the section sign.
Concatenation is 3GPP TS 23.040, section 9.2.3.24.1 (8-bit reference) and .8 (16-bit), or the SAR TLVs and
message_payload of SMPP 3.4, section 5.3.2.
"""

from __future__ import annotations

import codecs
import dataclasses
from typing import Final, Literal, NamedTuple, cast

from smpp_bind import errors, pdu

Alphabet = Literal["gsm", "latin1", "ucs2"]
Choice = Literal["auto", "latin1", "latin1_only"]
Concatenation = Literal["udh8", "udh16", "sar", "payload"]

ESCAPE: Final = 0x1B
GSM_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}

_UNDEFINED: Final = "\ufffe"
_BASIC_MAP: Final = codecs.charmap_build(GSM_BASIC.replace("\x1b", _UNDEFINED).ljust(256, _UNDEFINED))
_FULL_MAP: Final[dict[int, int | bytes]] = {
    **{ord(char): code for code, char in enumerate(GSM_BASIC) if code != ESCAPE},
    **{ord(char): bytes((ESCAPE, code)) for code, char in GSM_EXTENSION.items()},
}
# A lone escape reads as a space (TS 23.038, 6.2.1, note 1); octets above 127 are no septets.
_READ_MAP: Final = GSM_BASIC.replace("\x1b", " ").ljust(256, "\ufffd")

_OCTETS: Final = 140
_SEPTETS: Final = 160
_UDH_LENGTHS: Final[dict[str, int]] = {"udh8": 6, "udh16": 7, "sar": 6}
# Codecs by SMPP data_coding (section 5.2.19), for the alphabets that Python knows.
_CODECS: Final = {
    0x01: "ascii",
    0x03: "latin-1",
    0x05: "shift_jis",
    0x06: "iso8859-5",
    0x07: "iso8859-8",
    0x08: "utf-16-be",
    0x0A: "iso2022_jp",
    0x0D: "euc_jp",
    0x0E: "euc_kr",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How an operator wants texts coded.

    `alphabet`: `auto` tries GSM, then UCS-2; `latin1` tries GSM, Latin-1, UCS-2; `latin1_only` is for
    operators whose default alphabet is Latin-1, usually with `latin1_data_coding=0`.
    """

    alphabet: Choice = "auto"
    gsm_data_coding: int = 0
    latin1_data_coding: int = 3
    ucs2_data_coding: int = 8


DEFAULT_CODING: Final = Coding()


class Part(NamedTuple):
    """One submit_sm's share; `esm_class` has the UDHI bit where `message` begins with a header."""

    esm_class: int
    message: bytes
    tlvs: pdu.Tlvs
    data_coding: int


class Segments(NamedTuple):
    alphabet: Alphabet
    parts: list[Part]


class Place(NamedTuple):
    """Where one part of a long message belongs; `number` counts from 1."""

    reference: int
    total: int
    number: int


def encode_gsm(text: str) -> bytes | None:
    """Unpacked septets, or None where a character is in neither table."""
    try:
        return codecs.charmap_encode(text, "strict", _BASIC_MAP)[0]
    except UnicodeEncodeError:
        pass
    try:
        return codecs.charmap_encode(text, "strict", cast("dict[int, int]", _FULL_MAP))[0]
    except UnicodeEncodeError:
        return None


def decode_gsm(octets: bytes) -> str:
    """Never fails: an unknown extension reads as its basic character, an octet above 127 as U+FFFD."""
    if ESCAPE not in octets:
        return codecs.charmap_decode(octets, "strict", _READ_MAP)[0]
    head, *escaped = octets.split(bytes((ESCAPE,)))
    chars = [codecs.charmap_decode(head, "strict", _READ_MAP)[0]]
    for run in escaped:
        known = GSM_EXTENSION.get(run[0]) if run else " "
        rest = run if known is None else run[1:]
        chars.append((known or "") + codecs.charmap_decode(rest, "strict", _READ_MAP)[0])
    return "".join(chars)


def encode(*, text: str, coding: Coding = DEFAULT_CODING) -> tuple[Alphabet, bytes, int]:
    """(alphabet, user data, data_coding). Raises UnencodableError for an unpaired surrogate."""
    if coding.alphabet != "latin1_only":
        octets = encode_gsm(text)
        if octets is not None:
            return "gsm", octets, coding.gsm_data_coding
    if coding.alphabet != "auto":
        try:
            return "latin1", text.encode("latin-1"), coding.latin1_data_coding
        except UnicodeEncodeError:
            pass
    try:
        return "ucs2", text.encode("utf-16-be"), coding.ucs2_data_coding
    except UnicodeEncodeError:
        raise errors.UnencodableError("The text holds an unpaired surrogate.") from None


def segment(
    *,
    text: str,
    coding: Coding = DEFAULT_CODING,
    concatenation: Concatenation = "udh8",
    reference: int = 0,
) -> Segments:
    """The parts of `text`, at most 160 septets or 140 octets each with their header.

    `reference` must differ between long messages to one recipient; it is cut to 8 or 16 bits. No part ends
    inside an escape pair or a surrogate pair. Raises UnencodableError beyond 255 parts.
    """
    alphabet, octets, data_coding = encode(text=text, coding=coding)
    if len(octets) <= (_SEPTETS if alphabet == "gsm" else _OCTETS):
        return Segments(alphabet, [Part(0, octets, (), data_coding)])
    if concatenation == "payload":
        tlvs = ((pdu.TLV_MESSAGE_PAYLOAD, octets),)
        return Segments(alphabet, [Part(0, b"", tlvs, data_coding)])
    chunks = _split(octets, alphabet=alphabet, header=_UDH_LENGTHS[concatenation])
    if len(chunks) > 0xFF:
        raise errors.UnencodableError(f"The text needs {len(chunks)} parts; at most 255 can be joined.")
    return Segments(alphabet, _joined(chunks, concatenation, reference, data_coding))


def _split(octets: bytes, *, alphabet: Alphabet, header: int) -> list[bytes]:
    room = _OCTETS - header
    if alphabet == "gsm":
        room = room * 8 // 7
    elif alphabet == "ucs2":
        room -= room % 2
    chunks = []
    start, size = 0, len(octets)
    while start < size:
        end = min(start + room, size)
        if end < size:
            end -= _cut_back(octets, end, alphabet)
        chunks.append(octets[start:end])
        start = end
    return chunks


def _cut_back(octets: bytes, end: int, alphabet: Alphabet) -> int:
    """Octets to give back so that no pair is cut in two at `end`."""
    if alphabet == "gsm":
        return 1 if octets[end - 1] == ESCAPE else 0
    if alphabet == "ucs2":
        return 2 if 0xD8 <= octets[end - 2] <= 0xDB else 0
    return 0


def _joined(
    chunks: list[bytes], concatenation: Concatenation, reference: int, data_coding: int
) -> list[Part]:
    total = len(chunks)
    if concatenation == "sar":
        common = (
            (pdu.TLV_SAR_MSG_REF_NUM, (reference & 0xFFFF).to_bytes(2, "big")),
            (pdu.TLV_SAR_TOTAL_SEGMENTS, bytes((total,))),
        )
        return [
            Part(0, chunk, (*common, (pdu.TLV_SAR_SEGMENT_SEQNUM, bytes((number,)))), data_coding)
            for number, chunk in enumerate(chunks, 1)
        ]
    if concatenation == "udh16":
        header = b"\x06\x08\x04" + (reference & 0xFFFF).to_bytes(2, "big")
    else:
        header = bytes((5, 0, 3, reference & 0xFF))
    return [
        Part(pdu.ESM_CLASS_UDHI, header + bytes((total, number)) + chunk, (), data_coding)
        for number, chunk in enumerate(chunks, 1)
    ]


def decode(data_coding: int, octets: bytes) -> str:
    """User data without its header as text; never fails. Binary reads as Latin-1, octet by octet."""
    codec = _CODECS.get(data_coding)
    if codec is not None:
        return octets.decode(codec, "replace")
    if data_coding < 0x10:
        return decode_gsm(octets) if data_coding == 0 else octets.decode("latin-1")
    return _decode_by_dcs(data_coding, octets)


def _decode_by_dcs(scheme: int, octets: bytes) -> str:
    """A GSM data coding scheme in place of SMPP's data_coding (TS 23.038, section 4)."""
    group = scheme >> 4
    if group == 0xF:
        return octets.decode("latin-1") if scheme & 0x04 else decode_gsm(octets)
    if group == 0xE or (group < 0x8 and scheme & 0x0C == 0x08):
        return octets.decode("utf-16-be", "replace")
    if group < 0x8 and scheme & 0x0C == 0x04:
        return octets.decode("latin-1")
    return decode_gsm(octets)


def text_of(sm: pdu.ShortMessage) -> str:
    """The text that `sm` carries, its user data header taken off."""
    octets = sm.message
    if sm.esm_class & pdu.ESM_CLASS_UDHI and octets:
        octets = octets[octets[0] + 1 :]
    return decode(sm.data_coding, octets)


def place_of(sm: pdu.ShortMessage) -> Place | None:
    """The part that `sm` is of a long message, by user data header or SAR TLVs; None when it stands alone."""
    if sm.esm_class & pdu.ESM_CLASS_UDHI and sm.message:
        return _place_in_header(sm.message[1 : sm.message[0] + 1])
    if not sm.tlvs:
        return None
    values = {tag: int.from_bytes(value, "big") for tag, value in sm.tlvs}
    try:
        return _place(
            values[pdu.TLV_SAR_MSG_REF_NUM],
            values[pdu.TLV_SAR_TOTAL_SEGMENTS],
            values[pdu.TLV_SAR_SEGMENT_SEQNUM],
        )
    except KeyError:
        return None


def _place_in_header(header: bytes) -> Place | None:
    offset = 0
    while offset + 2 <= len(header):
        element, length = header[offset], header[offset + 1]
        value = header[offset + 2 : offset + 2 + length]
        if element == 0 and len(value) == 3:
            return _place(value[0], value[1], value[2])
        if element == 8 and len(value) == 4:
            return _place(value[0] << 8 | value[1], value[2], value[3])
        offset += 2 + length
    return None


def _place(reference: int, total: int, number: int) -> Place | None:
    """None for numbers that make no sense, which TS 23.040 says to ignore."""
    return Place(reference, total, number) if 1 <= number <= total else None
