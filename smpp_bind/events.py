"""What a session reports, in the order in which it came about."""

from __future__ import annotations

from typing import Any, NamedTuple

from smpp_bind import notices, pdu


class Bound(NamedTuple):
    system_id: str
    interface_version: int | None


class BindRefused(NamedTuple):
    status: int


class Answered(NamedTuple):
    """submit_sm_resp, data_sm_resp or generic_nack; `status` is never 0 for a nack. `sent_at` is the time
    of the submit.
    """

    token: Any
    status: int
    message_id: str
    sent_at: float


class OutcomeUnknown(NamedTuple):
    """The SMSC may or may not have taken the submit."""

    token: Any
    sent_at: float
    reason: str


class AnsweredLate(NamedTuple):
    """The answer of a submit that has been reported as unknown, because its time was up."""

    token: Any
    status: int
    message_id: str
    sent_at: float


class Delivered(NamedTuple):
    """deliver_sm or data_sm, to be answered by `Session.answer` once it is stored."""

    sequence: int
    sm: pdu.ShortMessage
    command_id: int


class Noticed(NamedTuple):
    """alert_notification or outbind; neither has an answer."""

    notice: notices.Notice


class Unbound(NamedTuple):
    by_peer: bool


class Dead(NamedTuple):
    reason: str


Last = BindRefused | Unbound | Dead
Event = Bound | Answered | OutcomeUnknown | AnsweredLate | Delivered | Noticed | Last
