from hypothesis import given
from hypothesis import strategies as st

from routing.transports.http_pacing import CATCH_UP_SECONDS, LONGEST_BACKOFF, LONGEST_PAUSE, Pacing


def test_pauses_double_until_something_goes_through():
    pacing, now = Pacing(None), 100.0
    pauses = []
    for _ in range(8):
        pause = pacing.throttled(retry_after=None, began=now, now=now)
        pauses.append(pause)
        now += pause + 0.1
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    pacing.answered(began=now)
    assert pacing.throttled(retry_after=None, began=now, now=now) == 1


def test_what_was_under_way_before_a_pause_neither_begins_nor_ends_one():
    pacing = Pacing(None)
    assert pacing.throttled(retry_after=5, began=9.0, now=10.0) == 5
    assert pacing.throttled(retry_after=9, began=9.5, now=10.1) is None
    assert pacing.paused_until == 15.0
    pacing.throttled(retry_after=None, began=16.0, now=16.0)
    pacing.answered(began=15.5)
    assert pacing.throttled(retry_after=None, began=20.0, now=20.0) == 2


def test_no_pause_is_believed_for_ever():
    assert Pacing(None).throttled(retry_after=1e9, began=1.0, now=1.0) == 900


@given(st.lists(st.floats(0, 0.5), min_size=2, max_size=200), st.integers(1, 1000), st.integers(1, 3))
def test_no_second_has_more_than_the_rate(waits, rate, parts):
    pacing, now = Pacing(float(rate)), 1000.0
    moments = []
    for wait in waits:
        now = max(now + wait, pacing.due(0.0))
        pacing.took(parts=parts, now=now)
        moments.append(now)
    for place, first in enumerate(moments):
        within = sum(parts for moment in moments[place:] if moment < first + 1.0)
        assert within <= rate * (1.0 + CATCH_UP_SECONDS) + parts + 1


@given(st.integers(0, 100))
def test_backoff_grows_and_stays_bounded(failures):
    pacing = Pacing(None)
    for _ in range(failures):
        assert 0.1 <= pacing.backoff() <= LONGEST_BACKOFF
    assert LONGEST_PAUSE == 30.0
