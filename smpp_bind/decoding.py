"""What deliver_sm and data_sm carry, read: texts in any alphabet, and the place of a part of a long message.

Nothing here fails, whatever the octets: what is no text reads as hexadecimal digits, what is no character as U+FFFD.
A user data header is 3GPP TS 23.040, section 9.2.3.24; data_coding is SMPP 3.4, section 5.2.19, and above 0x0F a data
coding scheme of 3GPP TS 23.038, section 4.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

from smpp_bind import encoding, pdu

Alphabet = Literal[
    "gsm",
    "gsm_packed",
    "ascii",
    "latin1",
    "ucs2",
    "utf8",
    "binary",
    "shift_jis",
    "cyrillic",
    "hebrew",
    "iso2022_jp",
    "euc_jp",
    "euc_kr",
]


class Place(NamedTuple):
    """Where one part of a long message belongs; `number` counts from 1."""

    reference: int
    total: int
    number: int


_BY_DATA_CODING: Final[dict[int, Alphabet]] = {
    0x00: "gsm",
    0x01: "ascii",
    0x02: "binary",
    0x03: "latin1",
    0x04: "binary",
    0x05: "shift_jis",
    0x06: "cyrillic",
    0x07: "hebrew",
    0x08: "ucs2",
    0x09: "binary",
    0x0A: "iso2022_jp",
    0x0D: "euc_jp",
    0x0E: "euc_kr",
}
_CONCATENATED_8, _CONCATENATED_16 = 0x00, 0x08
_MOST_PARTS, _LAST_REFERENCE = 0xFF, 0xFFFF
_COMPRESSED: Final = 0x20
_WHITE: Final = "\t\n\r\f"


def text_of(sm: pdu.ShortMessage, alphabets: Mapping[int, str] | None = None) -> str:
    """The text that `sm` carries, its user data header taken off.

    `alphabets` are the operator's own, by data_coding; that of 0 is also the one of message classes. The text of a
    part may begin or end with half of a surrogate pair.
    """
    header, octets = split(sm)
    return decode(sm.data_coding, octets, alphabets, header=len(header) + 1 if header else 0)


def split(sm: pdu.ShortMessage) -> tuple[bytes, bytes]:
    """The user data header, without its length, and the rest. One that is longer than the message is none."""
    octets = sm.message
    if sm.esm_class & pdu.ESM_CLASS_UDHI and octets and octets[0] < len(octets):
        end = octets[0] + 1
        return octets[1:end], octets[end:]
    return b"", octets


def decode(
    data_coding: int, octets: bytes, alphabets: Mapping[int, str] | None = None, *, header: int = 0
) -> str:
    """User data as text; `header` octets stood before it, after which packed septets are aligned."""
    alphabet = alphabet_of(data_coding, alphabets or {})
    if alphabet == "gsm_packed":
        return encoding.decode_gsm(_unpacked(octets, skip=-8 * header % 7))
    reader = _READERS.get(alphabet)
    return reader(octets) if reader else octets.decode("latin-1")


def alphabet_of(data_coding: int, alphabets: Mapping[int, str]) -> str:
    """What `data_coding` means at an operator; a reserved one below 0x10 is taken for Latin-1."""
    given = alphabets.get(data_coding)
    if given is not None:
        return given
    if data_coding < 0x10:
        return _BY_DATA_CODING.get(data_coding, "latin1")
    return _by_scheme(data_coding) or alphabets.get(0, "gsm")


def _by_scheme(scheme: int) -> Alphabet | None:
    """The alphabet of a data coding scheme; None for the default one."""
    group = scheme >> 4
    if group == 0xF:
        return "binary" if scheme & 0x04 else None
    if group == 0xE:
        return "ucs2"
    if group >= 0x8:
        return None
    if scheme & _COMPRESSED:
        return "binary"
    kind = scheme & 0x0C
    if kind == 0x08:
        return "ucs2"
    return "binary" if kind == 0x04 else None


def _ucs2(octets: bytes) -> str:
    """UTF-16: big-endian unless a byte order mark says otherwise; U+FFFD for half a character at the end."""
    codec = "utf-16-be"
    if octets.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        codec = "utf-16-be" if octets.startswith(codecs.BOM_UTF16_BE) else "utf-16-le"
        octets = octets[2:]
    even = len(octets) & ~1
    text = octets[:even].decode(codec, "surrogatepass")
    return text if even == len(octets) else text + "\ufffd"


def _binary(octets: bytes) -> str:
    """Text where it is text all the same, as some operators send every message so; else hexadecimal digits."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    return text if all(char.isprintable() or char in _WHITE for char in text) else octets.hex()


def _by_codec(name: str) -> Callable[[bytes], str]:
    return lambda octets: octets.decode(name, "replace")


# The others are Latin-1; ASCII among them, as whoever sends more than 7 bits of it means that.
_READERS: Final[dict[str, Callable[[bytes], str]]] = {
    "gsm": encoding.decode_gsm,
    "ucs2": _ucs2,
    "binary": _binary,
    "utf8": _by_codec("utf-8"),
    "shift_jis": _by_codec("shift_jis"),
    "cyrillic": _by_codec("iso8859-5"),
    "hebrew": _by_codec("iso8859-8"),
    "iso2022_jp": _by_codec("iso2022_jp"),
    "euc_jp": _by_codec("euc_jp"),
    "euc_kr": _by_codec("euc_kr"),
}


def _unpacked(octets: bytes, *, skip: int) -> bytes:
    """Septets, one an octet, of those packed into `octets` after `skip` bits (TS 23.038, section 6.1.2.1).

    Seven bits left over are no character: zero, or the carriage return that stands for it.
    """
    bits = int.from_bytes(octets, "little") >> skip
    count = max(0, len(octets) * 8 - skip) // 7
    septets = bytes(bits >> 7 * place & 0x7F for place in range(count))
    if count and (len(octets) * 8 - skip) % 7 == 0 and septets[-1] in b"\0\r":
        return septets[:-1]
    return septets


def place_of(sm: pdu.ShortMessage) -> Place | None:
    """The part that `sm` is of a long message, by user data header or SAR TLVs; None when it stands alone."""
    header = split(sm)[0]
    found = _place_in_header(header) if header else None
    return found or (_place_in_tlvs(sm.tlvs) if sm.tlvs else None)


def _place_in_header(header: bytes) -> Place | None:
    """Of several places the last one that makes sense; other elements (ports, language tables) are passed over."""
    offset = 0
    found = None
    while offset + 2 <= len(header):
        element, length = header[offset], header[offset + 1]
        value = header[offset + 2 : offset + 2 + length]
        if element == _CONCATENATED_8 and len(value) == 3:
            found = _place(value[0], value[1], value[2]) or found
        elif element == _CONCATENATED_16 and len(value) == 4:
            found = _place(value[0] << 8 | value[1], value[2], value[3]) or found
        offset += 2 + length
    return found


def _place_in_tlvs(tlvs: pdu.Tlvs) -> Place | None:
    values = {tag: int.from_bytes(value, "big") for tag, value in tlvs}
    try:
        return _place(
            values[pdu.TLV_SAR_MSG_REF_NUM],
            values[pdu.TLV_SAR_TOTAL_SEGMENTS],
            values[pdu.TLV_SAR_SEGMENT_SEQNUM],
        )
    except KeyError:
        return None


def _place(reference: int, total: int, number: int) -> Place | None:
    """None for numbers that make no sense, which TS 23.040 says to ignore."""
    if 1 <= number <= total <= _MOST_PARTS and reference <= _LAST_REFERENCE:
        return Place(reference, total, number)
    return None
