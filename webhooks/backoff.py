"""When a callback is tried again. Pure: the times and the random number are arguments."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

# The exponential schedule: 5 s doubling to 1 h until a day has passed since the first attempt.
FIRST_SECONDS = 5.0
LONGEST_SECONDS = 3600.0
JITTER = 0.2
LIFETIME = timedelta(hours=24)
# The fixed schedule's delay where the webhook gives none; MessageMedia documents no default.
DEFAULT_RETRY_DELAY = 5
# No endpoint may put itself off for longer.
LONGEST_RETRY_AFTER = LIFETIME.total_seconds()


@dataclass(frozen=True, slots=True)
class Policy:
    """A webhook's schedule: ``retries`` fixed repeats every ``delay`` seconds, or exponential when None."""

    retries: int | None = None
    delay: int = DEFAULT_RETRY_DELAY


EXPONENTIAL = Policy()


def next_attempt(
    *,
    policy: Policy,
    attempts: int,
    first_attempt_at: datetime,
    now: datetime,
    roll: float,
    retry_after: float = 0.0,
) -> datetime | None:
    """The moment of the next attempt; None when there is none, the callback is dead.

    ``attempts`` have been made, at least one, the first at ``first_attempt_at``; a try at a webhook's URL and the
    one at its failover that follows at once are one of them. ``roll`` is a random number in [0, 1); ``retry_after``
    the seconds that the endpoint asked for, honoured when longer than the schedule's.
    """
    if policy.retries is not None:
        if attempts > policy.retries:
            return None
        return now + timedelta(seconds=max(policy.delay, retry_after))
    delay = min(FIRST_SECONDS * 2 ** min(attempts - 1, 20), LONGEST_SECONDS)
    delay *= 1 + JITTER * (2 * roll - 1)
    if now + timedelta(seconds=delay) > first_attempt_at + LIFETIME:
        return None
    return now + timedelta(seconds=max(delay, retry_after))


def retry_after(*, value: str, now: datetime) -> float:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110 §10.2.3, both forms); 0 when it says nothing."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
        seconds = (at - now).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
