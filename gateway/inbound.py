"""What handsets send: stored before the operator gets its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway import ids
from gateway.models import InboundMessage


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message from a handset. ``operator`` is a slug."""

    operator: str
    sender: str
    recipient: str
    text: str
    received_at: datetime
    raw: dict[str, Any]


def store(*, arrivals: Sequence[Arrival]) -> None:
    """Keep them. NUL, which PostgreSQL's text cannot hold, becomes U+FFFD; the raw bytes keep it."""
    InboundMessage.objects.bulk_create(
        InboundMessage(
            id=key,
            operator=arrival.operator,
            sender=arrival.sender,
            recipient=arrival.recipient,
            text=arrival.text.replace("\0", "\ufffd"),
            raw=arrival.raw,
            received_at=arrival.received_at,
        )
        for key, arrival in zip(ids.new(len(arrivals)), arrivals, strict=True)
    )
