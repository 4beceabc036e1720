"""Delivery receipts read from deliver_sm and data_sm (SMPP 3.4, section 5.2.12, 5.3.2 and appendix B).

Appendix B only recommends its text, so every field may be missing, in any case and spacing. TLVs win over the
text. Times without a zone, as they are in the field, are taken as UTC.
"""

from __future__ import annotations

import codecs
import datetime as dt
import re
from typing import Final, Literal, NamedTuple

from smpp_bind import decoding, pdu

State = Literal[
    "delivered",
    "expired",
    "deleted",
    "undeliverable",
    "accepted",
    "unknown",
    "rejected",
    "enroute",
    "skipped",
    "scheduled",
]

FINAL: Final[frozenset[State]] = frozenset(
    {"delivered", "expired", "deleted", "undeliverable", "rejected", "skipped"}
)
"""States after which nothing else is expected. `accepted` is not one: operators send it on the way."""

# section 5.2.28; 0 and 9 are of SMPP 5.0
_BY_MESSAGE_STATE: Final[dict[int, State]] = {
    0: "scheduled",
    1: "enroute",
    2: "delivered",
    3: "expired",
    4: "deleted",
    5: "undeliverable",
    6: "accepted",
    7: "unknown",
    8: "rejected",
    9: "skipped",
}
# appendix B's seven letters, and the same words written out
_BY_STAT: Final[dict[str, State]] = {
    "DELIVRD": "delivered",
    "DELIVERED": "delivered",
    "EXPIRED": "expired",
    "DELETED": "deleted",
    "UNDELIV": "undeliverable",
    "UNDELIVERABLE": "undeliverable",
    "UNDELIVERED": "undeliverable",
    "FAILED": "undeliverable",
    "ACCEPTD": "accepted",
    "ACCEPTED": "accepted",
    "UNKNOWN": "unknown",
    "REJECTD": "rejected",
    "REJECTED": "rejected",
    "ENROUTE": "enroute",
    "SKIPPED": "skipped",
    "SCHEDULED": "scheduled",
    "SCHEDLD": "scheduled",
}
_RECEIPT: Final = 0x04
_USER_ACKNOWLEDGEMENT: Final = 0x08
_INTERMEDIATE: Final = 0x20
_TYPE_BITS: Final = 0x3C

_AS_IN_APPENDIX_B: Final = re.compile(
    r"id:(?P<id>[^\s:\"']+) sub:\d+ dlvrd:\d+ submit date:\d+ done date:(?P<done>\d+)"
    r" stat:(?P<stat>\w+) err:(?P<err>\w+)(?: text:(?P<text>.*))?",
    re.IGNORECASE | re.DOTALL,
)
# Done dates as SMPP writes times (section 7.1.1): with seconds, tenths, quarters of an hour from UTC and their sign.
_ABSOLUTE: Final = re.compile(r"([0-9]{12})[0-9]([0-9]{2})([+-])")
_HEX: Final = re.compile("0x[0-9a-f]+")
_MARKS: Final = str.maketrans("", "", "-/.: T")
_FIELD: Final = re.compile(
    r"(?:^|(?<=[\s,;\0]))(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat|err|text)\s*:[ \t]*", re.IGNORECASE
)


class ParsedReceipt(NamedTuple):
    """What an operator says of one submit.

    `remote_id` is as it came (see `canonical`), empty where the receipt names none; `other_id` is the text's where
    a TLV names another, usually the same number in another base. `raw_state` is the word or the number of
    message_state; one not in the tables makes `state` unknown and is never final. `done_at` is aware, UTC.
    """

    remote_id: str
    state: State
    raw_state: str
    error_code: str | None
    done_at: dt.datetime | None
    is_final: bool
    text: str
    other_id: str = ""


def parse(sm: pdu.ShortMessage) -> ParsedReceipt | None:
    """The receipt in `sm`, or None when it is a message from a handset.

    With esm_class 0 a text counts as a receipt only when it has `id:`, and `stat:` with a word of the tables or
    beside a done date; or when TLVs say so.
    """
    kind = sm.esm_class & _TYPE_BITS
    declared = kind in (_RECEIPT, _USER_ACKNOWLEDGEMENT, _INTERMEDIATE)
    if not declared and kind != 0:
        return None
    tlv_id, tlv_state, tlv_error = _from_tlvs(sm.tlvs) if sm.tlvs else (None, None, None)
    text = _text(sm)
    found = _fields(text.replace("\0", " ") if "\0" in text else text)
    if not declared and not (tlv_id is not None and tlv_state is not None) and not _tells(found):
        return None
    raw_state, state = _state(found.get("stat", ""), tlv_state)
    text_id = found.get("id", "")
    return ParsedReceipt(
        remote_id=tlv_id or text_id,
        state=state,
        raw_state=raw_state,
        error_code=found.get("err") or tlv_error,
        done_at=_moment(found.get("done", "")),
        is_final=state in FINAL and kind != _INTERMEDIATE,
        text=found.get("text", ""),
        other_id=text_id if tlv_id and text_id != tlv_id else "",
    )


def _tells(found: dict[str, str]) -> bool:
    """Whether a text is a receipt even if nothing else says so."""
    stat = found.get("stat")
    return bool(found.get("id") and stat and (stat.upper() in _BY_STAT or found.get("done")))


def _text(sm: pdu.ShortMessage) -> str:
    octets = decoding.split(sm)[1] if sm.esm_class & pdu.ESM_CLASS_UDHI else sm.message
    # By the octets and not by data_coding, which often is the submit's, whatever the receipt is written in.
    if not octets[:2].isalnum():
        if octets[:1] == b"\0" or octets[:2] == codecs.BOM_UTF16_BE:
            return octets.decode("utf-16-be", "replace").removeprefix("\ufeff")
        if octets[1:2] == b"\0" or octets[:2] == codecs.BOM_UTF16_LE:
            return octets.decode("utf-16-le", "replace").removeprefix("\ufeff")
    # Latin-1 and not GSM whatever data_coding says: receipts are made by software, and `_` and `@` in ids
    # would come out as others.
    return octets.decode("latin-1")


def _fields(text: str) -> dict[str, str]:
    usual = _AS_IN_APPENDIX_B.fullmatch(text)
    if usual is not None:
        return usual.groupdict("")
    found: dict[str, str] = {}
    matches = list(_FIELD.finditer(text))
    ends = [match.start() for match in matches[1:]] + [len(text)]
    for match, end in zip(matches, ends, strict=False):
        name = match[1].lower()
        if name == "text":
            found["text"] = text[match.end() :].rstrip("\0")
            break
        value = text[match.end() : end]
        key = "done" if name.startswith("done") else name
        found.setdefault(key, value.strip(" \t\r\n\0,;\"'"))
    return found


def _state(stat: str, message_state: int | None) -> tuple[str, State]:
    if message_state is not None:
        known = _BY_MESSAGE_STATE.get(message_state)
        if known is not None:
            return stat or str(message_state), known
    if stat:
        return stat, _BY_STAT.get(stat.upper(), "unknown")
    return "" if message_state is None else str(message_state), "unknown"


def _from_tlvs(tlvs: pdu.Tlvs) -> tuple[str | None, int | None, str | None]:
    remote_id = state = error = None
    for tag, value in tlvs:
        if tag == pdu.TLV_RECEIPTED_MESSAGE_ID:
            # The NUL of a C-Octet String is often left out, and sometimes filled up with more of them.
            remote_id = value.replace(b"\0", b"").decode("latin-1").strip() or None
        elif tag == pdu.TLV_MESSAGE_STATE and 1 <= len(value) <= 4:
            state = int.from_bytes(value, "big")
        elif tag == pdu.TLV_NETWORK_ERROR_CODE and len(value) == 3:
            error = str(value[1] << 8 | value[2])
    return remote_id, state, error


def _moment(written: str) -> dt.datetime | None:
    """YYMMDDhhmm, with seconds, a year of four digits or marks between, or as SMPP has it; None for anything else."""
    absolute = None if written.isdigit() else _ABSOLUTE.fullmatch(written)
    if absolute is not None:
        digits, quarters, sign = absolute.groups()
        moment = _at("20" + digits)
        ahead = dt.timedelta(minutes=15 * int(quarters))
        return moment and (moment - ahead if sign == "+" else moment + ahead)
    digits = written if written.isdigit() else written.translate(_MARKS)
    if not digits.isascii() or not digits.isdigit():
        return None
    if len(digits) in (10, 12):
        short = _at("20" + digits)
        # Twelve digits that begin with 20 are YYYYMMDDhhmm: the year 2020 is past.
        return _at(digits) if len(digits) == 12 and (short is None or digits.startswith("20")) else short
    return _at(digits) if len(digits) == 14 else None


def _at(digits: str) -> dt.datetime | None:
    try:
        return dt.datetime(
            int(digits[:4]),
            int(digits[4:6]),
            int(digits[6:8]),
            int(digits[8:10]),
            int(digits[10:12]),
            int(digits[12:14] or 0),
            tzinfo=dt.UTC,
        )
    except ValueError:
        return None


LONGEST_ID: Final = 255
"""Characters of an id that count; SMPP has 64 (section 4.4.2), and an index no more than some thousands."""


def canonical(remote_id: str) -> str:
    """`remote_id` without what answer and receipt differ in everywhere: case, zero padding, spaces, quotes, 0x."""
    if len(remote_id) > LONGEST_ID:
        remote_id = remote_id[:LONGEST_ID]
    if remote_id.isdigit() and remote_id[0] != "0":
        return remote_id
    folded = remote_id.strip(" \t\r\n\0\"'").lower()
    if _HEX.fullmatch(folded) is not None:
        folded = folded[2:]
    return folded.lstrip("0") or folded[:1]
