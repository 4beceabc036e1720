"""Texts to user data: GSM 03.38, Latin-1, ASCII, UCS-2, and long ones in parts. The way back is decoding.py.

The GSM alphabet is 3GPP TS 23.038, section 6.2.1, with its extension table; septets travel unpacked, one an
octet, as SMPP has it. smpplib's table is not used: it takes the backtick and refuses the section sign.
Concatenation is 3GPP TS 23.040, section 9.2.3.24.1 (8-bit reference) and .8 (16-bit), or the SAR TLVs and
message_payload of SMPP 3.4, section 5.3.2.
"""

from __future__ import annotations

import codecs
import dataclasses
from typing import Final, Literal, NamedTuple, cast

from smpp_bind import errors, pdu, transliteration

Alphabet = Literal["gsm", "gsm_packed", "latin1", "ascii", "ucs2"]
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
_LONGEST_PAYLOAD: Final = 0xFFFF
_UDH_LENGTHS: Final[dict[str, int]] = {"udh8": 6, "udh16": 7, "sar": 6}
# Alphabets of a subset of whose characters septets are written in.
_BASIC_CODECS: Final = {"latin1": "latin-1", "ascii": "ascii"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How an operator wants texts coded: the first of these that has all their characters.

    `basic` is what `basic_data_coding` means there, mostly its default alphabet. The network carries those texts in
    septets, 160 a part, so only the GSM alphabet's characters go so, as far as `basic` has them; `ucs2` takes all.
    `latin1_data_coding`, where it is given, is for 8-bit Latin-1, 140 a part. The rest goes as UCS-2.
    With `transliterate` typography is made plain where that is all that a text has beyond GSM.
    """

    basic: Alphabet = "gsm"
    basic_data_coding: int = 0
    latin1_data_coding: int | None = None
    ucs2_data_coding: int = 8
    transliterate: bool = False


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


def pack_septets(septets: bytes, *, fill: int = 0) -> bytes:
    """Septets in octets, eight in seven, after `fill` bits (TS 23.038, section 6.1.2.1).

    Seven bits left over would read as another `@`: they carry a carriage return, as in 6.1.2.3.
    """
    number, bits = 0, fill
    for septet in septets:
        number |= septet << bits
        bits += 7
    if bits % 8 == 1:
        number |= 0x0D << bits
    return number.to_bytes((bits + 7) // 8, "little")


def segment(
    *,
    text: str,
    coding: Coding = DEFAULT_CODING,
    concatenation: Concatenation = "udh8",
    reference: int = 0,
) -> Segments:
    """The parts of `text`, at most 160 septets or 140 octets each with their header.

    `reference` must differ between long messages to one recipient; it is cut to 8 or 16 bits. No part ends
    inside an escape pair or a surrogate pair.

    Raises:
        UnencodableError: an unpaired surrogate, more than 255 parts, or more than a TLV holds.
    """
    septets = _septets(text, coding)
    if septets is not None:
        return Segments(coding.basic, _parts(septets, coding.basic, 7, concatenation, reference, coding))
    if coding.latin1_data_coding is not None:
        try:
            octets = text.encode("latin-1")
        except UnicodeEncodeError:
            pass
        else:
            return Segments("latin1", _parts(octets, "latin1", 8, concatenation, reference, coding))
    try:
        octets = text.encode("utf-16-be")
    except UnicodeEncodeError:
        raise errors.UnencodableError("The text holds an unpaired surrogate.") from None
    return Segments("ucs2", _parts(octets, "ucs2", 16, concatenation, reference, coding))


def _septets(text: str, coding: Coding) -> bytes | None:
    """The text in the GSM alphabet where it can go by the operator's basic one, else None."""
    basic = coding.basic
    if basic == "ucs2":
        return None
    septets = encode_gsm(text)
    if septets is None and coding.transliterate:
        simple = transliteration.plain(text)
        septets = encode_gsm(simple)
        # An ellipsis becomes three characters: never at the price of more parts than UCS-2 takes.
        if septets is not None and 7 * len(septets) > 16 * len(text):
            return None
        text = simple
    if septets is None or basic in ("gsm", "gsm_packed"):
        return septets
    try:
        text.encode(_BASIC_CODECS[basic])
    except UnicodeEncodeError:
        return None
    return septets


def _parts(
    units: bytes, alphabet: Alphabet, bits: int, concatenation: Concatenation, reference: int, coding: Coding
) -> list[Part]:
    """The parts of a text of `bits` a character, given as septets (an octet each) or octets."""
    data_coding = _data_coding(coding, bits)
    if len(units) <= (_SEPTETS if bits == 7 else _OCTETS):
        return [Part(0, _on_wire(units, alphabet, bits), (), data_coding)]
    if concatenation == "payload":
        octets = _on_wire(units, alphabet, bits)
        if len(octets) > _LONGEST_PAYLOAD:
            raise errors.UnencodableError(
                f"The text takes {len(octets)} octets; message_payload holds 65535."
            )
        return [Part(0, b"", ((pdu.TLV_MESSAGE_PAYLOAD, octets),), data_coding)]
    header = _UDH_LENGTHS[concatenation]
    chunks = _split(units, bits=bits, header=header)
    if len(chunks) > 0xFF:
        raise errors.UnencodableError(f"The text needs {len(chunks)} parts; at most 255 can be joined.")
    if alphabet != "gsm":
        fill = 0 if concatenation == "sar" else -8 * header % 7
        chunks = [_on_wire(chunk, alphabet, bits, fill) for chunk in chunks]
    return _joined(chunks, concatenation, reference, data_coding)


def _data_coding(coding: Coding, bits: int) -> int:
    if bits == 7:
        return coding.basic_data_coding
    if bits == 8:
        return coding.latin1_data_coding or 0
    return coding.basic_data_coding if coding.basic == "ucs2" else coding.ucs2_data_coding


def _on_wire(units: bytes, alphabet: Alphabet, bits: int, fill: int = 0) -> bytes:
    """What septets are sent as in the operator's alphabet; what is no septets is sent as it is."""
    if bits != 7 or alphabet == "gsm":
        return units
    if alphabet == "gsm_packed":
        return pack_septets(units, fill=fill)
    return decode_gsm(units).encode(_BASIC_CODECS[alphabet])


def _split(units: bytes, *, bits: int, header: int) -> list[bytes]:
    room = _OCTETS - header
    if bits == 7:
        room = room * 8 // 7
    elif bits == 16:
        room -= room % 2
    chunks = []
    start, size = 0, len(units)
    while start < size:
        end = min(start + room, size)
        if end < size:
            end -= _cut_back(units, end, bits)
        chunks.append(units[start:end])
        start = end
    return chunks


def _cut_back(units: bytes, end: int, bits: int) -> int:
    """Units to give back so that no pair is cut in two at `end`."""
    if bits == 7:
        return 1 if units[end - 1] == ESCAPE else 0
    if bits == 16:
        return 2 if 0xD8 <= units[end - 2] <= 0xDB else 0
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
