"""An operator's rate, shared by all its workers: one reservation a chunk, in parts."""

import time
from collections.abc import Sequence

from gateway import buckets
from routing.contract import OperatorSettings


def moments(*, settings: OperatorSettings, parts: Sequence[int]) -> list[float]:
    """Reserve the parts of a chunk and say when each message may go.

    Returns:
        For each message a reading of ``time.monotonic``; the first part of the next message comes after the
        last of this one.
    """
    rate = settings.rate
    if rate is None:
        return [0.0] * len(parts)
    wait = buckets.reserve(key=_key(settings.id), tokens=sum(parts), rate=rate)
    start = time.monotonic() + wait
    slots = []
    used = 0
    for count in parts:
        slots.append(start + used / rate)
        used += count
    return slots


def push_back(*, operator_id: int, delay: float) -> None:
    """The operator said that it is too much: no worker starts anything new for ``delay`` seconds."""
    buckets.push_back(key=_key(operator_id), delay=delay)


def _key(operator_id: int) -> str:
    return f"operator:{operator_id}"
