"""Token buckets in PostgreSQL (GCRA): one statement reserves any number of tokens, exact over all processes.

They are written without waiting for the disk (``synchronous_commit = off``): a crash of the database forgives at
most the last fraction of a second.
"""

from django.db import connection, transaction

_RESERVE = """
INSERT INTO gateway_bucket AS b (key, theoretical_at)
VALUES (%(key)s, clock_timestamp() + %(cost)s * interval '1 second')
ON CONFLICT (key) DO UPDATE
SET theoretical_at = greatest(b.theoretical_at, clock_timestamp() - %(burst)s * interval '1 second')
                     + %(cost)s * interval '1 second'
RETURNING extract(epoch FROM theoretical_at - clock_timestamp())::float8
"""

_PUSH_BACK = """
INSERT INTO gateway_bucket AS b (key, theoretical_at)
VALUES (%(key)s, clock_timestamp() + %(delay)s * interval '1 second')
ON CONFLICT (key) DO UPDATE
SET theoretical_at = greatest(b.theoretical_at, clock_timestamp() + %(delay)s * interval '1 second')
"""


def reserve(*, key: str, tokens: int, rate: float, burst_seconds: float = 0.0) -> float:
    """Take ``tokens`` at ``rate`` a second, now or later.

    Returns:
        Seconds from now until the first of them may be used (0 or less: at once); each next one ``1 / rate``
        later. ``burst_seconds`` of unused time may be caught up with.
    """
    cost = tokens / rate
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(_RESERVE, {"key": key, "cost": cost, "burst": burst_seconds})
        return float(cursor.fetchone()[0]) - cost


def push_back(*, key: str, delay: float) -> None:
    """Let no token out for ``delay`` seconds: the other side asked for it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(_PUSH_BACK, {"key": key, "delay": delay})
