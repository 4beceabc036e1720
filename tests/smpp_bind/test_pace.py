"""The moments of submits after stalls, with times as numbers."""

import pytest

from smpp_bind.pace import LATE, Pace


def gone(pace, moments, *, now, step=0.001):
    """When each of `moments` goes where it is looked at every `step` from `now` on."""
    times = []
    for moment in moments:
        while pace.due(moment, now) > now:
            now += step
        times.append(now)
    return times


def test_it_lets_go_at_the_moment_and_not_before():
    pace = Pace()
    assert pace.due(10.0, 9.0) == 10.0
    assert pace.due(10.0, 10.0) == 10.0
    assert pace.due(10.1, 10.0) == 10.1


def test_it_makes_up_for_the_lateness_of_timers():
    pace = Pace()
    moments = [10 + number / 100 for number in range(100)]
    assert gone(pace, moments, now=10.0, step=0.017)[-1] == pytest.approx(10.99, abs=0.02)


def test_it_keeps_the_rate_after_a_stall():
    pace = Pace()
    moments = [10 + number / 100 for number in range(300)]
    before = gone(pace, moments[:50], now=10.0)
    after = gone(pace, moments[50:], now=12.0)
    assert before[-1] == pytest.approx(10.49, abs=0.01)
    assert after[0] == 12.0
    assert after[-1] == pytest.approx(12.0 + 2.49, abs=0.01)
    for second in (12.0, 12.5, 13.0):
        assert sum(second <= moment < second + 1 for moment in after) <= 100 * (1 + LATE) + 1


def test_it_keeps_the_rate_for_those_that_come_back_too():
    pace = Pace()
    moments = [10 + number / 100 for number in range(100)]
    gone(pace, moments[:50], now=10.0)
    times = gone(pace, moments[40:], now=11.5)  # ten of them are refused and go again
    assert times[0] == 11.5
    assert times[-1] == pytest.approx(11.5 + 0.59, abs=0.01)


def test_it_forgets_a_stall_when_the_moments_themselves_have_rested():
    pace = Pace()
    gone(pace, [10 + number / 100 for number in range(10)], now=10.0)
    assert gone(pace, [10.1, 10.11], now=40.0)[-1] == pytest.approx(40.01, abs=0.005)
    assert gone(pace, [41.0], now=40.02) == [pytest.approx(41.0, abs=0.005)]


def test_it_does_not_hold_back_what_has_no_rate():
    pace = Pace()
    assert gone(pace, [10.0] * 1000, now=50.0) == [50.0] * 1000
