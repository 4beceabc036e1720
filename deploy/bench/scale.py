"""An operator served by 1, 2 and 4 worker processes: its rate, its throughput, and what a killed one costs."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from deploy.bench.lanes import NARROW, RATE, Bench, BenchError, Lane, record_lines
from deploy.bench.runs import Result, carry

PROCESSES = (1, 2, 4)
# How long each run lasts, and how far into it a worker is killed.
SECONDS, KILLED_AFTER = 10.0, 4.0
SLOW_SECONDS = 0.05
# Times are when the simulator had read a submit: a few milliseconds beside when it was sent.
READ_LATE = 0.02


def scale(bench: Bench) -> dict[str, Result]:
    """`rate_<n>`, `throughput_<n>` for n processes, `rate_killed`: one of four is killed on the way."""
    seconds = 3.0 if bench.quick else SECONDS
    found: dict[str, Result] = {}
    rated, narrow = bench.lane("rated"), bench.lane("narrow")
    for processes in PROCESSES:
        with _workers(bench, rated, processes - 1):
            found[f"rate_{processes}"] = _rate(bench, rated, seconds)
        with _workers(bench, narrow, processes - 1):
            found[f"throughput_{processes}"] = _throughput(bench, processes, seconds)
    with _workers(bench, rated, PROCESSES[-1] - 1) as names:
        found["rate_killed"] = _rate(bench, rated, 2 * seconds, killed=names.pop)
    return found


@contextmanager
def _workers(bench: Bench, lane: Lane, count: int) -> Iterator[list[str]]:
    """So many workers of the lane's operator beside the supervised one; a name taken out is not ended."""
    names = [f"scale_{number}" for number in range(count)]
    ending: list[str] = []
    try:
        for name in names:
            bench.add_worker(lane, name, of_lane=True)
            ending.append(name)
        time.sleep(1.0)  # the first have ended what starting costs
        yield ending
    finally:
        for name in ending:
            bench.stack.end_worker(name)


def _rate(bench: Bench, lane: Lane, seconds: float, killed: Callable[[], str] | None = None) -> Result:
    """Submits in each second of an operator that takes :data:`RATE` a second."""
    if killed is not None:
        name = killed()
        threading.Timer(KILLED_AFTER, bench.stack.kill_worker, [name]).start()
    run = carry(bench, "rated", int(RATE * seconds))
    if lane.simulator is None or lane.simulator.record is None:
        raise BenchError("The lane has no record.")
    time.sleep(0.2)  # the record is written every 100 ms
    moments = sorted(record_lines(lane.simulator.record, run.load.began_at).values())
    most = most_within(moments, 1.0)
    run.more["submits_in_each_second"] = each_second(moments)
    run.more["most_in_any_second"] = most
    run.more["rate"] = RATE
    allowed = RATE * (1 + READ_LATE) + 1
    target = {"messages_per_second": RATE, "most_in_any_second": allowed}
    whole = run.rate >= (0.5 if killed else 0.9) * RATE
    if killed is not None:
        # What the killed one had in flight and had no answer to may be sent again.
        run.more["repeated"], run.more["may_be_repeated"] = run.duplicated, 100
        run.duplicated = max(0, run.duplicated - 100)
    return run.result(target=target, met=whole and most <= allowed)


def _throughput(bench: Bench, processes: int, seconds: float) -> Result:
    """An operator without a rate that takes 50 ms for an answer, ten unanswered submits a bind."""
    possible = processes * NARROW / SLOW_SECONDS
    run = carry(bench, "narrow", int(possible * seconds))
    run.more["fraction_of_window_by_latency"] = round(run.rate / possible, 3)
    return run.result(target={"fraction_of_window_by_latency": 0.8}, met=run.rate >= 0.8 * possible)


def each_second(moments: Sequence[float]) -> list[int]:
    """How many fall into each second from the first."""
    if not moments:
        return []
    counts = [0] * (int(moments[-1] - moments[0]) + 1)
    for moment in moments:
        counts[int(moment - moments[0])] += 1
    return counts


def most_within(moments: Sequence[float], seconds: float) -> int:
    """The most that fall into any span of so many seconds; `moments` rise."""
    spans = (bisect_left(moments, moment + seconds) - index for index, moment in enumerate(moments))
    return max(spans, default=0)
