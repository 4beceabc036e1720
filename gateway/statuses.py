"""Every status a message can have, and every move between them that is legal.

The table is the whole truth: :mod:`gateway.lifecycle` refuses what is not in it, the tests walk every pair, and
the README's diagram is printed from it (``manage.py print_statuses``).
"""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    SCHEDULED = "scheduled"  # waits for its sendAt
    ACCEPTED = "accepted"  # committed; the relay will pick an operator
    QUEUED = (
        "queued"  # was with an operator's worker, waits again: throttled, operator down, or refused by one
    )
    SENDING = "sending"  # an operator's worker has it; the operator may or may not have seen it
    SENT = "sent"  # every part was accepted by the operator
    DELIVERED = "delivered"  # every reported part reached the handset
    READ = "read"
    FAILED = "failed"
    EXPIRED = "expired"  # its validity ran out, here or at the operator
    REJECTED = "rejected"  # refused for what it is: by the operator's screening or for want of a route
    CANCELED = "canceled"  # by the tenant, before an operator had it


S = Status

MOVES: Final[dict[Status, frozenset[Status]]] = {
    S.SCHEDULED: frozenset({S.ACCEPTED, S.SENDING, S.CANCELED, S.EXPIRED, S.FAILED, S.REJECTED}),
    S.ACCEPTED: frozenset({S.SENDING, S.CANCELED, S.EXPIRED, S.FAILED, S.REJECTED}),
    S.QUEUED: frozenset({S.SENDING, S.CANCELED, S.EXPIRED, S.FAILED, S.REJECTED, S.SENT, S.DELIVERED}),
    S.SENDING: frozenset({S.QUEUED, S.SENT, S.DELIVERED, S.READ, S.FAILED, S.EXPIRED, S.REJECTED}),
    S.SENT: frozenset({S.DELIVERED, S.READ, S.FAILED, S.EXPIRED, S.REJECTED}),
    S.DELIVERED: frozenset({S.READ}),
    S.READ: frozenset(),
    S.FAILED: frozenset(),
    S.EXPIRED: frozenset(),
    S.REJECTED: frozenset(),
    S.CANCELED: frozenset(),
}

INITIAL: Final = frozenset({S.SCHEDULED, S.ACCEPTED})
FINAL: Final = frozenset({S.READ, S.FAILED, S.EXPIRED, S.REJECTED, S.CANCELED})
# Ended as far as the platform's own work goes: a read receipt may still follow a delivery.
ENDED: Final = FINAL | {S.DELIVERED}
# With the relay, or about to be: it can still be cancelled, expired or handed to another operator.
WAITING: Final = frozenset({S.SCHEDULED, S.ACCEPTED, S.QUEUED})

# A worker's taking a message in hand is a status, not news: no event, no callback. At thousands a second the
# line would cost as much as the delivery, and the moment is in the next event's data (`startedAt`).
QUIET: Final = frozenset({S.QUEUED, S.SENDING})

ORIGINS: Final[dict[Status, list[str]]] = {
    target: [origin.value for origin, targets in MOVES.items() if target in targets] for target in Status
}


def may_move(*, origin: Status, target: Status) -> bool:
    """Whether the table has the move."""
    return target in MOVES[origin]


# The numeric codes of MessageMedia's delivery reports, by our status; an error code may have a finer one.
CODES: Final[dict[Status, int]] = {
    S.SCHEDULED: 101,
    S.ACCEPTED: 101,
    S.QUEUED: 102,
    S.SENDING: 200,
    S.SENT: 210,
    S.DELIVERED: 220,
    S.READ: 220,
    S.FAILED: 400,
    S.EXPIRED: 401,
    S.REJECTED: 402,
    S.CANCELED: 304,
}
ERROR_CODES: Final[dict[str, int]] = {
    "NO_ROUTE": 332,
    "EXPIRED_BEFORE_SUBMISSION": 320,
    "INVALID_RECIPIENT": 411,
    "INVALID_SENDER": 410,
    "OPERATOR_UNAVAILABLE": 330,
}


def code(*, status: Status, error_code: str | None = None) -> int:
    """MessageMedia's numeric code (contract §3) for a status and, where known, the reason."""
    return ERROR_CODES.get(error_code or "", CODES[status])
