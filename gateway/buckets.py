"""Token buckets in PostgreSQL (GCRA): one statement reserves any number of tokens, exact over all processes.

They are written without waiting for the disk (``synchronous_commit = off``): a crash of the database forgives at
most the last fraction of a second.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
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

# What tokens cost is rounded up to the microseconds that a timestamp has: never more than the rate. The clock is
# read once a row, when its lock is held. No debt is longer than an empty bucket's: a key's rate may have been raised.
_TAKE = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::float8[], %s::int[])
           AS w (key, tokens, back, cost, burst)
)
INSERT INTO gateway_bucket AS b (key, theoretical_at, granted)
SELECT key, clock_timestamp() + ceil(least(tokens, burst) * cost) * interval '1 microsecond', least(tokens, burst)
FROM wanted ORDER BY key
ON CONFLICT (key) DO UPDATE SET (theoretical_at, granted) = (
    SELECT due + ceil(taken * cost) * interval '1 microsecond', taken
    FROM (
        SELECT due, cost, greatest(0, least(tokens, floor(
                   burst + 0.000001 - extract(epoch FROM due - now)::float8 * 1000000 / cost)))::int AS taken
        FROM (
            SELECT w.*, c.now, least(c.now + w.burst * w.cost * interval '1 microsecond', greatest(
                       c.now, b.theoretical_at - floor(w.back * w.cost) * interval '1 microsecond')) AS due
            FROM wanted w, (SELECT clock_timestamp() AS now OFFSET 0) c
            WHERE w.key = excluded.key
        ) standing
    ) decided
)
RETURNING b.key, b.granted, extract(epoch FROM b.theoretical_at - clock_timestamp())::float8
"""


class Ask(NamedTuple):
    """What is wanted of one bucket. ``back`` were taken before and not used; ``cost`` is microseconds a token.

    The key has letters, digits and colons only.
    """

    key: str
    tokens: int
    back: int
    cost: float
    burst: int


class Grant(NamedTuple):
    """How many of the tokens were given, and in how many seconds the bucket is full again."""

    tokens: int
    debt: float


def take(*, store: psycopg.Connection[Any], asks: Sequence[Ask]) -> dict[str, Grant]:
    """Take as many of the tokens as there are now, of any number of different buckets; the rest is not owed.

    ``store`` commits by itself and does not wait for the disk.

    Raises:
        psycopg.Error: the store is away or too slow; then nothing is known.
    """
    # Array literals: the driver's own dumping of five lists costs as much as the rest of the round trip.
    columns = ["{" + ",".join(map(str, column)) + "}" for column in zip(*sorted(asks), strict=True)]
    rows = store.execute(_TAKE, columns).fetchall()
    return {key: Grant(tokens, debt) for key, tokens, debt in rows}


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
