"""The operators' Celery queues: ids in chunks, kept shallow."""

from collections.abc import Sequence
from uuid import UUID

# A task's worth of messages: enough that its cost vanishes, few enough that its end is never far.
CHUNK = 200
# Seconds' worth of work that an operator with a rate may have in hand; of one without, chunks.
AHEAD_SECONDS = 2.0
AHEAD_CHUNKS = 4


def room(*, rate: float | None, in_hand: int) -> int:
    """How many parts more an operator may be handed now."""
    limit = (
        AHEAD_CHUNKS * CHUNK if rate is None else max(2, min(int(rate * AHEAD_SECONDS), AHEAD_CHUNKS * CHUNK))
    )
    return max(0, limit - in_hand)


def chunk_size(*, rate: float | None) -> int:
    """Messages a task, so that a task at the operator's rate takes about a second."""
    return CHUNK if rate is None else max(1, min(CHUNK, int(rate)))


def publish(*, queue: str, delivery_ids: Sequence[UUID]) -> None:
    """Hand a chunk to the operator's workers.

    Raises:
        kombu.exceptions.OperationalError: the broker is away; the leases run out and the rows are claimed again.
    """
    from routing import tasks  # tasks imports the verbs that need queues

    tasks.deliver.apply_async(  # type: ignore[call-arg]
        kwargs={"delivery_ids": [str(key) for key in delivery_ids]},
        queue=queue,
        # Nobody reads them; making them would cost as much as sending.
        argsrepr="",
        kwargsrepr="",
    )
