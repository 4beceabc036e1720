"""What an HTTP operator's answers come down to: a closed vocabulary, and what a bare status means in it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from routing.contract import Outbound, Outcome, Verdict
from routing.transports.http_client import Answer


def document(answer: Answer) -> Any:
    """The JSON of an answer; None where it is none."""
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Meaning(StrEnum):
    """What an answer says of a message, or of us."""

    ACCEPTED = "accepted"
    PERMANENT = "permanent"  # refused for good
    TEMPORARY = "temporary"  # not taken; this message later
    THROTTLED = "throttled"  # not taken; nothing more for a while
    UNKNOWN = "unknown"  # taken or not
    BARRED = "barred"  # not taken: our account is refused, or the address is wrong


VERDICTS = {
    Meaning.ACCEPTED: Verdict.ACCEPTED,
    Meaning.PERMANENT: Verdict.REFUSED,
    Meaning.TEMPORARY: Verdict.RETRY,
    Meaning.THROTTLED: Verdict.RETRY,
    Meaning.UNKNOWN: Verdict.UNKNOWN,
    Meaning.BARRED: Verdict.RETRY,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer, read. ``code`` is the operator's own, ``error_code`` one of ours."""

    meaning: Meaning
    remote_ids: tuple[str, ...] = ()
    code: str | None = None
    error_code: str | None = None


def by_status(answer: Answer) -> Meaning:
    """What a status means where the operator says no more (RFC 9110 §15)."""
    status = answer.status
    if 200 <= status < 300:
        return Meaning.ACCEPTED
    if status == 429 or (status == 503 and answer.retry_after is not None):
        return Meaning.THROTTLED
    if status in {408, 425, 503}:
        return Meaning.TEMPORARY
    if status in {401, 407} or status < 400:
        return Meaning.BARRED
    # Behind a proxy or in a server that failed, the message may have been taken.
    return Meaning.UNKNOWN if status >= 500 else Meaning.PERMANENT


def outcome(message: Outbound, reading: Reading) -> Outcome:
    """The end of a message's delivery, now."""
    return Outcome(
        message.delivery_id,
        message.message_id,
        VERDICTS[reading.meaning],
        datetime.now(tz=UTC),
        reading.remote_ids,
        # The database holds no NUL.
        reading.code and reading.code.replace("\0", "\ufffd"),
        reading.error_code,
    )
