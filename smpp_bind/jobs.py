"""Messages whose parts are on their way, and what comes of a message from what came of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from routing.contract import Outbound, Outcome, Verdict
from smpp_bind import dlr, errors
from smpp_bind.group import Answer
from smpp_bind.refusals import Kind, Refusals

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Until a part that was put off is sent again, try by try; after the last the message counts as refused."""


class Job:
    """One message; on the I/O thread from its submit to its outcome.

    ``open`` counts parts without an answer, ``put_off`` are parts that were not taken but may be, ``refusal`` is the
    first status that said never, with our code for it. ``lost`` counts parts whose answer did not come in time.
    ``unsent``: some part has never been sent and will not be.
    """

    __slots__ = (
        "accepted",
        "bodies",
        "lost",
        "lost_by",
        "message",
        "open",
        "put_off",
        "put_off_status",
        "refusal",
        "remote_ids",
        "report",
        "tries",
        "unsent",
    )

    def __init__(
        self, message: Outbound, bodies: Sequence[bytes], report: Callable[[list[Outcome]], None]
    ) -> None:
        self.message = message
        self.bodies = bodies
        self.report = report
        self.open = len(bodies)
        self.accepted = self.lost = self.tries = self.put_off_status = 0
        self.unsent = False
        self.remote_ids = [""] * len(bodies)
        self.put_off: list[int] = []
        self.refusal: tuple[int, str | None] | None = None
        self.lost_by = ""

    def take(self, number: int, answer: Answer, refusals: Refusals) -> None:
        """A part has its answer, or will have none."""
        self.open -= 1
        if answer.status == 0:
            self.accepted += 1
            self.remote_ids[number] = dlr.canonical(answer.message_id)
        elif answer.status is None:
            self.lost += 1
            self.lost_by = answer.reason
        else:
            refusal = refusals.of(answer.status)
            if refusal.kind is not Kind.PERMANENT:
                self.put_off.append(number)
                self.put_off_status = answer.status
            elif self.refusal is None:
                self.refusal = (answer.status, refusal.error_code)

    def take_late(self, number: int, answer: Answer) -> bool:
        """The answer of a part that counted as lost has come. Whether the operator is now known to have all of a
        message whose outcome has been told as unknown.
        """
        if answer.status != 0:
            return False
        self.lost -= 1
        self.accepted += 1
        self.remote_ids[number] = dlr.canonical(answer.message_id)
        return self.accepted == len(self.bodies) and not self.open

    def again_after(self, now: datetime) -> float | None:
        """Seconds until the parts that were put off are to be sent once more; None where that cannot complete the
        message, or has been tried enough. With no part accepted the message waits in the ledger instead.
        """
        if not self.accepted or self.refusal is not None or self.lost or self.unsent:
            return None
        if self.tries == len(AGAIN_SECONDS):
            return None
        delay = AGAIN_SECONDS[self.tries]
        expires_at = self.message.expires_at
        return None if expires_at is not None and expires_at <= now + timedelta(seconds=delay) else delay

    def again(self) -> list[int]:
        """The parts that were put off, which are open once more."""
        numbers, self.put_off = sorted(self.put_off), []
        self.open = len(numbers)
        self.tries += 1
        return numbers

    def outcome(self, now: datetime) -> Outcome:
        """What came of the message, once nothing is open.

        A part refused for good ends it, partly rejected where another was accepted. Parts that were never sent let
        the whole wait again: the handset may get parts twice, but never a message that lacks some. Without an answer
        for a part the whole is unknown.
        """
        message = self.message
        if self.refusal is not None:
            return self._refused(*self.refusal, now)
        if self.unsent:
            return ended(message, Verdict.RETRY, now)
        if self.lost:
            return ended(message, Verdict.UNKNOWN, now, code=self.lost_by)
        if self.put_off and self.accepted:
            return self._refused(self.put_off_status, None, now)
        if self.put_off:
            return ended(message, Verdict.RETRY, now, code=f"0x{self.put_off_status:08X}")
        return ended(message, Verdict.ACCEPTED, now, remote_ids=tuple(self.remote_ids))

    def _refused(self, status: int, error_code: str | None, now: datetime) -> Outcome:
        code, message = f"0x{status:08X}", self.message
        if self.accepted:
            error_code = "PARTLY_REJECTED_BY_OPERATOR"
        elif message.expires_at is not None and message.expires_at <= now:
            # Refused for its age, maybe: the ledger ends what waits and has expired.
            return ended(message, Verdict.RETRY, now, code=code)
        return ended(message, Verdict.REFUSED, now, code=code, error_code=error_code)


def ended(
    message: Outbound,
    verdict: Verdict,
    now: datetime,
    *,
    remote_ids: tuple[str, ...] = (),
    code: str | None = None,
    error_code: str | None = None,
) -> Outcome:
    """The outcome of a message."""
    return Outcome(message.delivery_id, message.message_id, verdict, now, remote_ids, code, error_code)


def unwritable(message: Outbound, error: Exception, now: datetime) -> Outcome:
    """What comes of a message that has no form for this operator."""
    key = str(message.message_id)
    if isinstance(error, errors.TooLateError):
        # Whoever looks after what waits ends it as expired.
        return ended(message, Verdict.RETRY, now)
    if isinstance(error, errors.UnsendableError):
        log.warning("submit.unsendable", message_id=key, reason=str(error))
        return ended(message, Verdict.REFUSED, now, code=str(error), error_code=error.error_code)
    if isinstance(error, errors.SmppError):
        log.warning("submit.unencodable", message_id=key, reason=str(error))
    else:
        log.error("submit.failed", message_id=key, exc_info=error)
    return ended(message, Verdict.REFUSED, now, error_code="UNENCODABLE")
