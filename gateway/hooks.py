"""What the ledger lets the outer apps add, without importing them.

An outer app registers a function in its ``AppConfig.ready``. A hook that runs inside a transaction says so; what
it raises rolls that transaction back, on purpose: a status that could not be fanned out has not happened.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Fact:
    """An event as the outer apps see it, with what of its message never changes."""

    event_id: UUID
    tenant_id: int
    message_id: UUID
    type: str
    callback_url: str | None


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What choosing an operator takes. ``tag`` is the message's metadata member of that name; ``priority`` is 0
    high, 1 normal, 2 bulk."""

    tenant_id: int
    channel: str
    recipient: str
    sender: str | None
    parts: int = 1
    tag: str | None = None
    priority: int = 1


class Route(Protocol):
    """Chooses the operators of messages; ``fresh``: by what is true now, before it is said that one has none."""

    def __call__(self, requests: Sequence[RouteRequest], *, fresh: bool = True) -> list[int]: ...


@dataclass(slots=True)
class Hooks:
    """The registered functions."""

    # Inside the transaction that wrote the events: queue their callbacks.
    fan_out: list[Callable[[Sequence[Fact]], None]] = field(default_factory=list)
    # Operators' ids for messages about to be accepted, 0 for none as yet, -1 where none matches; None registered: all
    # are 0.
    route: Route | None = None
    # Inside the transaction that stored messages which only steps of their fallback have routes for: let them begin
    # with those. Given their ids and the moment.
    begin_with_fallback: Callable[[Sequence[UUID], datetime], None] | None = None
    # The route that a message would take now, to be shown: ``{"operator": slug}`` and, where they are known,
    # ``priority``, ``cost``, ``reason`` and ``alternatives``; None where there is none.
    explain: Callable[[RouteRequest], dict[str, Any] | None] | None = None
    # More lines for a message's timeline: callback outcomes. Given (tenant id, message id).
    timeline: list[Callable[[int, UUID], list[dict[str, Any]]]] = field(default_factory=list)


hooks = Hooks()
