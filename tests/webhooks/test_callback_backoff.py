from datetime import UTC, datetime, timedelta

import pytest

from webhooks import backoff
from webhooks.backoff import Policy

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def seconds(*, attempts, roll=0.5, first=NOW, policy=backoff.EXPONENTIAL, retry_after=0.0, now=NOW):
    at = backoff.next_attempt(
        policy=policy, attempts=attempts, first_attempt_at=first, now=now, roll=roll, retry_after=retry_after
    )
    return None if at is None else (at - now).total_seconds()


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 320), (8, 640), (9, 1280), (10, 2560), (11, 3600),
     (12, 3600), (40, 3600), (10_000, 3600)],
)  # fmt: skip
def test_it_doubles_from_five_seconds_to_an_hour(attempts, expected):
    assert seconds(attempts=attempts) == pytest.approx(expected)


@pytest.mark.parametrize(("roll", "factor"), [(0.0, 0.8), (0.25, 0.9), (0.5, 1.0), (0.999999, 1.2)])
def test_it_varies_by_a_fifth_either_way(roll, factor):
    assert seconds(attempts=4, roll=roll) == pytest.approx(40 * factor, rel=1e-4)


def test_it_ends_when_a_day_has_passed_since_the_first_attempt():
    assert seconds(attempts=20, first=NOW - timedelta(hours=22, minutes=59)) is not None
    assert seconds(attempts=20, first=NOW - timedelta(hours=23, minutes=1)) is None


def test_it_makes_about_thirty_attempts_in_its_day():
    now, attempts = NOW, 1
    while (wait := seconds(attempts=attempts, now=now, first=NOW)) is not None:
        now += timedelta(seconds=wait)
        attempts += 1
    assert 25 < attempts < 40


@pytest.mark.parametrize(
    ("policy", "attempts", "expected"),
    [
        (Policy(0), 1, None),
        (Policy(1), 1, 5),
        (Policy(1), 2, None),
        (Policy(5, 60), 1, 60),
        (Policy(5, 60), 5, 60),
        (Policy(5, 60), 6, None),
    ],
)
def test_it_repeats_as_often_and_as_far_apart_as_a_fixed_policy_says(policy, attempts, expected):
    assert seconds(attempts=attempts, policy=policy, first=NOW - timedelta(days=2)) == expected


def test_it_waits_as_long_as_the_endpoint_asks_when_that_is_longer():
    assert seconds(attempts=1, retry_after=120) == 120
    assert seconds(attempts=8, retry_after=120) == pytest.approx(640)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("Sat, 21 Nov 2026 12:02:00 GMT", 120),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("999999999999999999999999", 86400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("", 0),
        ("٣", 0),
    ],
)
def test_it_reads_both_forms_of_retry_after(value, expected):
    assert backoff.retry_after(value=value, now=NOW) == expected
