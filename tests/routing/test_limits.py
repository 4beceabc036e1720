"""The operator's rate, reserved in one statement, exact over connections."""

import threading
import time

import pytest
from django.db import connection

from gateway import buckets
from routing import limits
from routing.contract import OperatorSettings

pytestmark = pytest.mark.django_db


def operator(rate):
    return OperatorSettings(id=1, slug="one", channel="sms", rate=rate, settings={})


def test_it_paces_the_messages_of_a_chunk_by_their_parts():
    moments = limits.moments(settings=operator(10), parts=[1, 3, 1])
    assert [round(each - moments[0], 3) for each in moments] == [0.0, 0.1, 0.4]


def test_it_starts_a_chunk_after_the_one_before_it():
    first = limits.moments(settings=operator(10), parts=[1] * 5)
    second = limits.moments(settings=operator(10), parts=[1])
    assert second[0] - first[0] == pytest.approx(0.5, abs=0.05)


def test_it_lets_an_idle_operator_go_at_once():
    assert limits.moments(settings=operator(10), parts=[1])[0] - time.monotonic() <= 0


def test_it_saves_up_nothing_while_idle():
    limits.moments(settings=operator(100), parts=[1])
    time.sleep(0.2)
    moments = limits.moments(settings=operator(100), parts=[1] * 10)
    assert moments[-1] - moments[0] == pytest.approx(0.09, abs=0.001)


def test_it_starts_nothing_new_after_the_operator_asked_for_a_pause():
    limits.push_back(operator_id=1, delay=2.0)
    assert limits.moments(settings=operator(100), parts=[1])[0] - time.monotonic() > 1.8


def test_it_has_no_limit_where_there_is_none():
    assert limits.moments(settings=operator(None), parts=[1, 1]) == [0.0, 0.0]


@pytest.mark.django_db(transaction=True)
def test_it_is_exact_over_several_processes():
    slots: list[float] = []
    began = time.monotonic()

    def reserve():
        try:
            for _ in range(25):
                start = time.monotonic() + buckets.reserve(key="k", tokens=4, rate=1000)
                slots.extend(start + number / 1000 for number in range(4))
        finally:
            connection.close()

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = max(slots) - began
    # 400 tokens at 1,000 a second take 0.4 s, or longer where nobody asked for one in time.
    assert took >= 0.39
    # The clocks of the database and of the process are read a moment apart: hence a few tokens' tolerance.
    ordered = sorted(slots)
    assert all(ordered[place + 120] - ordered[place] > 0.1 for place in range(len(ordered) - 120))
