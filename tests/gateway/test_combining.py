import threading
import time

import pytest

from gateway import errors
from gateway.combining import Combiner


def test_runs_a_lone_item_at_once():
    groups = []
    combiner = Combiner(lambda items: groups.append(list(items)) or [item * 2 for item in items], limit=10)
    assert combiner.submit(21) == 42
    assert combiner.submit(4) == 8
    assert groups == [[21], [4]]


def test_combines_what_comes_while_a_group_runs(together):
    sizes = []

    def run(items):
        sizes.append(len(items))
        time.sleep(0.02)
        return [item + 100 for item in items]

    combiner = Combiner(run, limit=1000)
    assert sorted(together(combiner.submit, 40)) == list(range(100, 140))
    assert len(sizes) < 10
    assert sum(sizes) == 40


def test_takes_no_more_than_its_limit(together):
    sizes = []

    def run(items):
        sizes.append(len(items))
        time.sleep(0.005)
        return items

    combiner = Combiner(run, limit=3)
    assert sorted(together(combiner.submit, 20)) == list(range(20))
    assert max(sizes) <= 3


def test_blames_only_the_one_that_fails(together):
    def run(items):
        time.sleep(0.01)
        if 7 in items:
            raise ValueError("seven")
        return items

    combiner = Combiner(run, limit=100)

    def submit(number):
        try:
            return combiner.submit(number)
        except ValueError:
            return "failed"

    results = together(submit, 20)
    assert results.count("failed") == 1
    assert set(results) - {"failed"} == set(range(20)) - {7}


def test_tells_everyone_at_once_when_the_database_is_away(together):
    runs = []

    def run(items):
        runs.append(len(items))
        time.sleep(0.01)
        raise errors.Unavailable

    combiner = Combiner(run, limit=100)

    def submit(number):
        with pytest.raises(errors.Unavailable):
            combiner.submit(number)

    together(submit, 20)
    assert sum(runs) == 20


def test_goes_on_after_a_failure():
    calls = []

    def run(items):
        calls.append(items)
        if len(calls) == 1:
            raise ValueError("once")
        return items

    combiner = Combiner(run, limit=10)
    with pytest.raises(ValueError, match="once"):
        combiner.submit(1)
    assert combiner.submit(2) == 2
    assert threading.active_count() >= 1
