"""How many messages a tenant may still add to those that wait: an estimate, cheap enough for every request.

The rows are counted at most once a second a process, and never for more than a hundredth of the time; between
counts a process adds what it accepted itself. So the limit can be overshot by what other processes accept
meanwhile, and reopens a little after rows have left.
"""

import time
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

# Seconds after which a tenant that was told to wait may find room again.
RETRY_AFTER = 5

_EVERY = 1.0
_SHARE = 100
_ROOM = 10_000


@dataclass(slots=True)
class _Estimate:
    waiting: int
    count_again_at: float


_estimates: dict[int, _Estimate] = {}


def room(*, tenant_id: int, limit: int | None) -> int:
    """How many more may be accepted; 0 or less when the backlog is full. ``limit`` None is the platform's."""
    bound = settings.TENANT_BACKLOG_LIMIT if limit is None else limit
    estimate = _estimates.get(tenant_id)
    now = time.monotonic()
    if estimate is None or now >= estimate.count_again_at:
        estimate = _count(tenant_id, bound, now)
    return bound - estimate.waiting


def added(*, tenant_id: int, count: int) -> None:
    """This process has accepted ``count`` more."""
    estimate = _estimates.get(tenant_id)
    if estimate is not None:
        estimate.waiting += count


def forget() -> None:
    """Count anew at the next look."""
    _estimates.clear()


def _count(tenant_id: int, bound: int, now: float) -> _Estimate:
    if len(_estimates) >= _ROOM:
        _estimates.clear()
    with connection.cursor() as cursor:
        # By the claim index: PostgreSQL 18 skips over its leading columns, older ones read it through.
        cursor.execute(
            "SELECT count(*) FROM (SELECT 1 FROM gateway_duemessage WHERE tenant_id = %s LIMIT %s) waiting",
            [tenant_id, bound],
        )
        (waiting,) = cursor.fetchone()
    took = time.monotonic() - now
    estimate = _Estimate(waiting, now + max(_EVERY, took * _SHARE))
    _estimates[tenant_id] = estimate
    return estimate
