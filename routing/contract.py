"""The one abstraction: what a provider's transport is, and the shapes that cross it.

A transport lives in an operator's Celery worker. It is started once for each operator, is given chunks of
messages, and reports outcomes and receipts. It does no SQL and knows no statuses of ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Outbound:
    """A message to send. ``not_before`` is a reading of ``time.monotonic`` that paces it to the operator's rate."""

    delivery_id: UUID
    message_id: UUID
    tenant_id: int
    channel: str
    recipient: str
    sender: str | None
    text: str | None
    content: dict[str, Any] | None
    parts: int
    metadata: dict[str, str] | None
    expires_at: datetime | None
    not_before: float = 0.0


class Verdict(StrEnum):
    """What came of handing a message to an operator."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # for good, by this operator: another may be tried
    RETRY = "retry"  # not now: it was not taken, waiting helps
    UNKNOWN = "unknown"  # no answer: it may or may not have been taken


@dataclass(slots=True)
class Outcome:
    """The end of one delivery. ``remote_ids``: one a part, canonical. ``code``: the operator's, raw."""

    delivery_id: UUID
    message_id: UUID
    verdict: Verdict
    occurred_at: datetime
    remote_ids: tuple[str, ...] = ()
    code: str | None = None
    error_code: str | None = None


class ReceiptState(StrEnum):
    """The closed vocabulary of receipts; what an operator says beyond it is UNKNOWN, kept raw."""

    ACCEPTED = "accepted"
    ENROUTE = "enroute"
    DELIVERED = "delivered"
    READ = "read"
    EXPIRED = "expired"
    UNDELIVERABLE = "undeliverable"
    REJECTED = "rejected"
    DELETED = "deleted"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Receipt:
    """What an operator says of a part it accepted. ``handle`` is the transport's own, to acknowledge it.

    ``remote_id`` is as the operator writes it in receipts, its case and padding folded: the operator's id mode is
    applied later. ``other_ids`` are further ids that the same receipt bears.
    """

    operator_id: int
    remote_id: str
    state: ReceiptState
    occurred_at: datetime
    code: str | None = None
    error_code: str | None = None
    raw: dict[str, Any] = field(default_factory=dict)
    handle: Any = None
    other_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class Inbound:
    """What a handset sent to one of our numbers. ``handle`` as in :class:`Receipt`.

    ``part`` is the place of a piece of a long message: the reference that the pieces share, how many there are, and
    which it is, from 1. A piece's text may begin or end with half of a surrogate pair.
    """

    operator_id: int
    sender: str
    recipient: str
    text: str
    occurred_at: datetime
    raw: dict[str, Any] = field(default_factory=dict)
    handle: Any = None
    part: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class TransportState:
    """Whether an operator can be sent to from this process, and how much at once."""

    up: bool
    window: int
    paused_until: float | None = None  # monotonic
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """An operator as its transport sees it. ``repr`` never shows the secrets."""

    id: int
    slug: str
    channel: str
    rate: float | None
    settings: dict[str, Any]
    secrets: dict[str, Any] = field(default_factory=dict, repr=False)


class Sink(Protocol):
    """Where a transport delivers what arrives on its own. Cheap, callable from any thread."""

    def receipts(self, transport: "Transport", arrived: Sequence[Receipt | Inbound]) -> None: ...

    def late(self, transport: "Transport", outcomes: "Sequence[Outcome]") -> None:
        """Acceptances of messages whose outcome had been reported as unknown."""

    def changed(self) -> None:
        """Its state is another than before."""


class Transport(Protocol):
    """One operator's way out of this process."""

    def start(self, *, sink: Sink) -> None:
        """Connect in the background; returns at once."""

    def submit(self, messages: Sequence[Outbound], on_outcomes: Callable[[list[Outcome]], None]) -> None:
        """Send in order. Each message gets exactly one outcome, in batches, from any thread; or it is given
        back by :meth:`withdraw`. An acceptance that comes after UNKNOWN goes to the sink's ``late``."""

    def withdraw(self, delivery_ids: Sequence[UUID]) -> list[UUID]:
        """Take back what has not been written to the operator; returns what was taken back."""

    def acknowledge(self, arrived: Sequence[Receipt | Inbound]) -> None:
        """What was delivered to the sink is stored: answer the operator."""

    def state(self) -> TransportState: ...

    def stop(self, *, deadline: float) -> None:
        """Drain what is in flight until the deadline (seconds from now), say goodbye, close."""
