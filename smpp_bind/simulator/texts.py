"""Texts from handsets as bodies of deliver_sm or data_sm, in every form that operators hand them over.

Coded and cut here and not by `smpp_bind.encoding`, so that what reads it is tried against another's work. As
handsets do, a cut may fall between the two halves of a surrogate pair.
"""

from __future__ import annotations

import itertools
import os
import random
from typing import Final

from smpp_bind import encoding, pdu

_references: Final = itertools.count(1)
_OCTETS: Final = 140
_SEPTETS: Final = 160
_HEADER_LENGTHS: Final = {"udh8": 6, "udh16": 7, "sar": 6}
_DATA_CODINGS: Final = {"gsm": 0, "packed": 0, "ascii": 1, "latin1": 3, "binary": 4, "ucs2": 8}


def address(text: str) -> tuple[int, int, str]:
    """(ton, npi, digits): international for a long number, national short code, or alphanumeric."""
    digits = text.removeprefix("+")
    if not digits.isdigit():
        return 5, 0, text
    return (1, 1, digits) if len(digits) > 6 else (0, 1, digits)


def bodies(*, sender: str, recipient: str, text: str, words: frozenset[str]) -> tuple[int, list[bytes]]:
    """(command_id, one body a part) in the form of `words`, of menus.MO_FORMAT. Raises ValueError for a text
    that is not hexadecimal where the words say binary, or needs more than 255 parts.
    """
    source_ton, source_npi, source = address(sender)
    ton, npi, destination = address(recipient)
    of_all = pdu.ShortMessage(
        source_ton=source_ton,
        source_npi=source_npi,
        source=source,
        destination_ton=ton,
        destination_npi=npi,
        destination=destination,
    )
    found = [_garbage(of_all)] if "garbage" in words else _parts(of_all, text, words)
    if "missing" in words and len(found) > 1:
        del found[-2]
    if "reversed" in words:
        found.reverse()
    if "doubled" in words:
        found = [part for part in found for _ in range(2)]
    if "data-sm" in words:
        return pdu.DATA_SM, [pdu.encode_data_sm_body(part) for part in found]
    return pdu.DELIVER_SM, [pdu.encode_short_message_body(part) for part in found]


def _parts(of_all: pdu.ShortMessage, text: str, words: frozenset[str]) -> list[pdu.ShortMessage]:
    alphabet, octets = _coded(text, words)
    joined = next((word for word in _HEADER_LENGTHS if word in words), "udh8")
    of_all = of_all._replace(data_coding=_DATA_CODINGS[alphabet])
    septets = alphabet in {"gsm", "packed"}
    packed = alphabet == "packed"
    if "payload" in words:
        payload = _pack(octets) if packed else octets
        return [of_all._replace(tlvs=((pdu.TLV_MESSAGE_PAYLOAD, payload),))]
    if len(octets) <= (_SEPTETS if septets else _OCTETS):
        return [of_all._replace(message=_pack(octets) if packed else octets)]
    room = _OCTETS - _HEADER_LENGTHS[joined]
    chunks = _cut(octets, room=room * 8 // 7 if septets else room // 2 * 2, escapes=septets)
    if len(chunks) > 0xFF:
        raise ValueError(f"The text needs {len(chunks)} parts; at most 255 can be joined.")
    reference = next(_references)
    return [
        _joined(of_all, chunk, joined, reference, len(chunks), number, packed)
        for number, chunk in enumerate(chunks, 1)
    ]


def _coded(text: str, words: frozenset[str]) -> tuple[str, bytes]:
    """(alphabet, octets); of packed ones the septets, still one an octet."""
    for alphabet, codec in (("ascii", "ascii"), ("latin1", "latin-1")):
        if alphabet in words:
            return alphabet, text.encode(codec, "replace")
    if "binary" in words:
        return "binary", bytes.fromhex(text)
    if not words.isdisjoint(("gsm", "packed")):
        septets = b"".join(encoding.encode_gsm(char) or b"?" for char in text)
        return ("packed" if "packed" in words else "gsm"), septets
    gsm = None if "ucs2" in words else encoding.encode_gsm(text)
    return ("ucs2", text.encode("utf-16-be", "surrogatepass")) if gsm is None else ("gsm", gsm)


def _cut(octets: bytes, *, room: int, escapes: bool) -> list[bytes]:
    chunks = []
    start = 0
    while start < len(octets):
        end = start + room
        if escapes and end < len(octets) and octets[end - 1] == encoding.ESCAPE:
            end -= 1
        chunks.append(octets[start:end])
        start = end
    return chunks


def _joined(
    of_all: pdu.ShortMessage,
    chunk: bytes,
    joined: str,
    reference: int,
    total: int,
    number: int,
    packed: bool,
) -> pdu.ShortMessage:
    place = bytes((total, number))
    if joined == "sar":
        tlvs = (
            (pdu.TLV_SAR_MSG_REF_NUM, (reference & 0xFFFF).to_bytes(2, "big")),
            (pdu.TLV_SAR_TOTAL_SEGMENTS, place[:1]),
            (pdu.TLV_SAR_SEGMENT_SEQNUM, place[1:]),
        )
        return of_all._replace(message=_pack(chunk) if packed else chunk, tlvs=tlvs)
    if joined == "udh16":
        header = b"\x06\x08\x04" + (reference & 0xFFFF).to_bytes(2, "big") + place
    else:
        header = b"\x05\0\x03" + bytes((reference & 0xFF,)) + place
    if packed:
        chunk = _pack(chunk, fill=-len(header) * 8 % 7)
    return of_all._replace(esm_class=pdu.ESM_CLASS_UDHI, message=header + chunk)


def _pack(septets: bytes, *, fill: int = 0) -> bytes:
    """Eight septets in seven octets, after `fill` bits that bring the header to a septet's end (TS 23.040,
    9.2.3.24); seven bits left over are a carriage return, lest they read as @ (TS 23.038, 6.1.2.3.1).
    """
    bits = sum(septet << 7 * place for place, septet in enumerate(septets)) << fill
    used = 7 * len(septets) + fill
    size = (used + 7) // 8
    if size * 8 - used == 7:
        bits |= 0x0D << used
    return bits.to_bytes(size, "little")


def _garbage(of_all: pdu.ShortMessage) -> pdu.ShortMessage:
    return of_all._replace(
        # Not of the receipts' types: those of which nothing can be read have their own fault.
        esm_class=random.choice((0, pdu.ESM_CLASS_UDHI)),
        data_coding=random.randrange(256),
        message=os.urandom(random.randrange(1, _OCTETS)),
    )
