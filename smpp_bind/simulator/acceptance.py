"""What happens to a submit: it is judged, numbered and answered, and its receipt is arranged."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from smpp_bind import pdu
from smpp_bind.simulator import receipts
from smpp_bind.simulator.accounts import Account, Accounts, Outgoing
from smpp_bind.simulator.ids import Ids
from smpp_bind.simulator.outcomes import ENROUTE, Fate, Outcome, Outcomes
from smpp_bind.simulator.record import Record
from smpp_bind.simulator.settings import Settings, Span
from smpp_bind.simulator.stats import Stats
from smpp_bind.simulator.submits import REGISTERED_INTERMEDIATE, Submit
from smpp_bind.simulator.wheel import Wheel

if TYPE_CHECKING:
    from smpp_bind.simulator.session import Session


class Acceptance:
    def __init__(
        self,
        *,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        stats: Stats,
        accounts: Accounts,
        flush: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._stats = stats
        self._accounts = accounts
        self._flush = flush
        self._early = settings.receipts == "before-answer"
        self._ids = Ids(settings)
        self._outcomes = Outcomes(settings)
        self._wording = receipts.Wording(settings)
        self.record = Record(settings=settings, loop=loop)
        self.wheel: Wheel[tuple[Session, bytes]] = Wheel(loop=loop, handle=self._fall_due)

    def take(
        self, *, session: Session, account: Account, command: int, sequence: int, submit: Submit
    ) -> None:
        stats = self._stats
        stats.submits += 1
        now = self._loop.time()
        status = self._over_limits(session, account, now)
        if status is None:
            stats.unanswered += 1
            return
        fate = self._outcomes.of(submit) if not status else None
        answer_at = now + _draw(self._settings.latency)
        if fate is None or fate.refused:
            if fate is not None:
                stats.refused += 1
                status = self._settings.fail_status
            self._answer(session, pdu.HEADER.pack(16, command | pdu.RESP, status, sequence), answer_at)
        else:
            self._accept(session, account, command, sequence, submit, fate, answer_at)

    def _over_limits(self, session: Session, account: Account, now: float) -> int | None:
        """ESME_ROK, the command_status of a submit over window or rate, or None to leave it unanswered."""
        window = self._settings.window
        if window is not None and session.unanswered >= window:
            if self._settings.window_over == "ignore":
                return None
            self._stats.throttled += 1
            return pdu.ESME_RTHROTTLED
        if account.admits(now):
            return pdu.ESME_ROK
        self._stats.throttled += 1
        return self._settings.throttle_status

    def _accept(
        self,
        session: Session,
        account: Account,
        command: int,
        sequence: int,
        submit: Submit,
        fate: Fate,
        answer_at: float,
    ) -> None:
        self._stats.accepted += 1
        number = self._ids.take()
        message_id = self._ids.answered(number)
        if self.record.wanted:
            self.record.add(system_id=account.octets, submit=submit, message_id=message_id)
        if self._early:
            self._report(session, account, submit, fate, number, self._loop.time())
            account.pump()
        if fate.unanswered:
            self._stats.unanswered += 1
            session.unanswered += 1
        else:
            header = pdu.HEADER.pack(17 + len(message_id), command | pdu.RESP, 0, sequence)
            self._answer(session, b"%b%b\0" % (header, message_id), answer_at)
        if not self._early:
            self._report(session, account, submit, fate, number, answer_at)

    def _answer(self, session: Session, octets: bytes, at: float) -> None:
        if self._settings.latency.high:
            session.unanswered += 1
            self.wheel.add(at, (session, octets))
        else:
            self._stats.answered += 1
            session.send(octets)

    def _fall_due(self, due: list[tuple[Session, bytes]]) -> None:
        for session, octets in due:
            if session.closing:
                self._stats.unanswered += 1
            else:
                session.unanswered -= 1
                session.send(octets)
                self._stats.answered += 1
        self._flush()

    def _report(
        self, session: Session, account: Account, submit: Submit, fate: Fate, number: int, answered: float
    ) -> None:
        if not submit.registered_delivery and submit.part is None:
            return
        origin = session if self._settings.receipt_bind == "same" else None
        now = self._loop.time()
        if submit.registered_delivery & REGISTERED_INTERMEDIATE:
            item = Outgoing(self._receipt(submit, number, ENROUTE, answered - now), True)
            self._accounts.schedule_receipt(answered, (origin, account, item))
        copies = receipts.copies(rule=self._settings.receipts, submit=submit, outcome=fate.outcome)
        if not copies or fate.outcome is None:
            return
        due = answered + fate.delay
        if not self._early:
            due += _draw(self._settings.receipt_delay)
        item = Outgoing(self._receipt(submit, number, fate.outcome, due - now), True)
        for _ in range(copies):
            self._accounts.schedule_receipt(due, (origin, account, item))

    def _receipt(self, submit: Submit, number: int, outcome: Outcome, after: float) -> bytes:
        now = time.time()
        return self._wording.body(
            submit=submit,
            message_id=self._ids.reported(number),
            outcome=outcome,
            submitted=now,
            done=now + after,
        )


def _draw(span: Span) -> float:
    low, high = span
    return low if low == high else random.uniform(low, high)
