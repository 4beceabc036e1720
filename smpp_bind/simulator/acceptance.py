"""What happens to a submit: it is judged, numbered and answered, and its receipt is arranged."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from smpp_bind import pdu
from smpp_bind.simulator import faults, receipts, unasked
from smpp_bind.simulator.accounts import Account, Accounts, Outgoing
from smpp_bind.simulator.ids import Ids
from smpp_bind.simulator.outcomes import ENROUTE, Fate, How, Outcome, Outcomes
from smpp_bind.simulator.reading import Span
from smpp_bind.simulator.record import Record
from smpp_bind.simulator.settings import Settings
from smpp_bind.simulator.stats import Stats
from smpp_bind.simulator.submits import Submit
from smpp_bind.simulator.wheel import Wheel

if TYPE_CHECKING:
    from smpp_bind.simulator.session import Session


_THROTTLING: Final = frozenset({pdu.ESME_RTHROTTLED, pdu.ESME_RMSGQFUL})
_OUT_OF_ORDER: Final = 0.2


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
        self._ids = Ids(settings)
        self._outcomes = Outcomes(settings)
        self._wording = receipts.Wording(settings)
        self._rule = receipts.Rule(settings)
        self._origins = settings.receipt_bind != "any"
        self.faults = faults.Faults(settings.fault, seed=settings.seed)
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
        answer_at = now + _draw(self._settings.latency)
        if status:
            self._answer(session, _refusal(command, status, sequence), now, answer_at)
            return
        fate = self._outcomes.of(submit)
        if self.faults.of_submits:
            fate = self._bent(fate, session, submit)
            answer_at += fate.late
        if fate.refused:
            self._refuse(session, command, sequence, fate, now, answer_at)
        elif fate.how == "lose":
            stats.unanswered += 1
        else:
            self._accept(session, account, command, sequence, submit, fate, now, answer_at)

    def _bent(self, fate: Fate, session: Session, submit: Submit) -> Fate:
        """What the faults make of a submit's fate."""
        for fault in self.faults.of_submits:
            if not fault.hits_submit(submit):
                continue
            name = fault.name
            if name in {"refuse", "nack"}:
                how: How | None = "nack" if name == "nack" else None
                fate = fate._replace(refused=True, status=fault.argument, how=how)
            elif name == "late":
                fate = fate._replace(late=_draw(fault.argument))
            elif name == "no-answer":
                fate = fate._replace(unanswered=True)
            elif name in unasked.ACTIONS:
                unasked.ACTIONS[name].do(session)
            else:
                fate = fate._replace(how=cast("How", name))
        return fate._replace(unanswered=True) if session.closing else fate

    def _refuse(
        self, session: Session, command: int, sequence: int, fate: Fate, now: float, answer_at: float
    ) -> None:
        status = self._settings.fail_status if fate.status is None else fate.status
        if status in _THROTTLING:
            self._stats.throttled += 1
        else:
            self._stats.refused += 1
        if fate.how == "nack":
            command = 0  # with the bit of answers this is generic_nack
        self._answer(session, _refusal(command, status, sequence), now, answer_at)

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
        now: float,
        answer_at: float,
    ) -> None:
        self._stats.accepted += 1
        number = self._ids.take()
        message_id = self._ids.answered(number)
        if self.record.wanted:
            self.record.add(system_id=account.octets, submit=submit, message_id=message_id)
        early = self._rule.before_answer
        if early:
            self._report(session, account, submit, fate, number, now)
            account.pump()
        if fate.unanswered:
            self._stats.unanswered += 1
            session.unanswered += 1
        else:
            header = pdu.HEADER.pack(17 + len(message_id), command | pdu.RESP, 0, sequence)
            octets = b"%b%b\0" % (header, message_id)
            if fate.how is None:
                self._answer(session, octets, now, answer_at)
            else:
                self._answer_oddly(session, octets, fate.how, now, answer_at)
        if not early:
            self._report(session, account, submit, fate, number, answer_at)

    def _answer(self, session: Session, octets: bytes, now: float, at: float) -> None:
        if at > now:
            session.unanswered += 1
            self.wheel.add(at, (session, octets))
        else:
            self._stats.answered += 1
            session.send(octets)

    def _answer_oddly(self, session: Session, octets: bytes, how: How, now: float, at: float) -> None:
        if how == "cut":
            session.break_off(octets[:-3])
            self._stats.unanswered += 1
            return
        if how == "no-id":
            octets = pdu.HEADER.pack(17, *pdu.HEADER.unpack_from(octets)[1:]) + b"\0"
        elif how == "twice":
            octets += octets
        self._answer(session, octets, now, at)

    def _fall_due(self, due: list[tuple[Session, bytes]]) -> None:
        for session, octets in due:
            if session.closing:
                self._stats.unanswered += 1
            else:
                session.unanswered -= 1
                session.send(octets)
                self._stats.answered += 1
                if session.leaving and not session.unanswered:
                    session.close()
        self._flush()

    def _report(
        self, session: Session, account: Account, submit: Submit, fate: Fate, number: int, answered: float
    ) -> None:
        rule = self._rule
        if not rule.wants(submit):
            return
        now = self._loop.time()
        copies = rule.copies(submit=submit, outcome=fate.outcome)
        if rule.enroute(submit):
            self._send(session, account, self._receipt(submit, number, ENROUTE, answered - now), answered)
        if not copies or fate.outcome is None:
            return
        due = answered + fate.delay
        if not rule.before_answer:
            due += _draw(self._settings.receipt_delay)
        if rule.out_of_order and number % 2:
            due += _OUT_OF_ORDER
        body = self._receipt(submit, number, fate.outcome, due - now)
        for _ in range(copies):
            self._send(session, account, body, due)

    def _send(self, session: Session, account: Account, body: bytes, due: float) -> None:
        item = Outgoing(body, True, self._wording.command)
        if self._rule.after_reconnect and not session.closing:
            self._accounts.hold_receipt(session, item)
        else:
            self._accounts.schedule_receipt(due, (session if self._origins else None, account, item))

    def _receipt(self, submit: Submit, number: int, outcome: Outcome, after: float) -> bytes:
        now = time.time()
        ids = self._ids
        return self._wording.body(
            submit=submit,
            ids=(ids.reported(number), ids.in_tlv(number) if self._wording.with_tlvs else b""),
            outcome=outcome,
            submitted=now,
            done=now + after,
        )


def _refusal(command: int, status: int, sequence: int) -> bytes:
    return pdu.HEADER.pack(16, command | pdu.RESP, status, sequence)


def _draw(span: Span) -> float:
    low, high = span
    return low if low == high else random.uniform(low, high)
