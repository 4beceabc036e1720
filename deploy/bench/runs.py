"""A measured run: messages through a lane of the stack, and what became of each."""

import time
from dataclasses import dataclass, field
from typing import Any

from deploy import load, measure
from deploy.bench import figures, ledger
from deploy.bench.lanes import Bench, Lane, reaches
from deploy.measure import Window

Result = dict[str, Any]


@dataclass
class Run:
    """One measured run. Moments are seconds since the epoch."""

    job: load.Job
    load: load.Result
    window: Window
    ended_at: float
    complete: bool = True
    lost: int = 0
    duplicated: int = 0
    latency: dict[str, dict[str, float]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.ended_at - self.load.began_at

    @property
    def rate(self) -> float:
        return self.job.count / self.seconds

    def result(self, *, target: dict[str, float], met: bool) -> Result:
        """The run as it is printed."""
        return {
            "target": target,
            "met": met and self.complete and not self.lost,
            "messages": self.job.count,
            "messages_a_call": self.job.per_call,
            "connections": self.job.connections,
            "seconds": round(self.seconds, 3),
            "messages_per_second": round(self.rate, 1),
            "lost": self.lost,
            "duplicated": self.duplicated,
            "complete": self.complete,
            "latency_ms": {"accept_call": measure.spread(self.load.latencies), **self.latency},
            **self.more,
            "cpu_seconds_per_1000": figures.cpu(self.window, self.job.count),
            "peak_memory_mb": figures.peaks(self.window),
        }


def accept(bench: Bench, count: int, **options: Any) -> Run:
    """Accept only: the lane's operator is down, so nothing is delivered."""
    lane = bench.lane("down")
    bench.fresh()
    job = bench.job(lane, count, **options)
    bench.source.prepare(job)
    with bench.window(lane) as window:
        bench.source.begin()
        answer = bench.source.result()
        window.close()
    bench.peak = measure.larger(bench.peak, window.peaks.together)
    stored = sum(ledger.statuses(bench.stack.database, run=job.run).values())
    ledger.forget_waiting(bench.stack.database)
    run = Run(job, answer, window, answer.ended_at, lost=answer.accepted - stored)
    run.complete = answer.accepted == job.count
    run.more = {"answers": answer.statuses, "operator": "down, so that nothing is delivered"}
    return run


def carry(
    bench: Bench, name: str, count: int, *, receipts: bool = False, callbacks: bool = False, **options: Any
) -> Run:
    """Submit and wait until the last answer (or receipt, or callback and its attempt) is recorded."""
    lane = bench.lane(name)
    bench.fresh()
    job = bench.job(lane, count, **options)
    bench.source.prepare(job)
    before = simulated(lane)
    goals = {"accepted": count, "receipts_acknowledged": count if receipts or callbacks else 0}

    def arrived() -> int:
        now = simulated(lane)
        done = sum(min(int(now[name] - before[name]), goal) for name, goal in goals.items())
        return done + (int(bench.sink.ask(do="counts")["distinct"]) if callbacks else 0)

    settled = ledger.settled if callbacks else ledger.handed_over
    with bench.window(lane) as window:
        bench.source.begin()
        complete = reaches(arrived, sum(goals.values()) + (count if callbacks else 0))
        complete = reaches(lambda: settled(bench.stack.database), 1, every=0.02) and complete
        ended_at = time.time()
        window.close()
    bench.peak = measure.larger(bench.peak, window.peaks.together)
    run = Run(job, bench.source.result(), window, ended_at, complete)
    run.duplicated = simulated(lane)["duplicates"] - before["duplicates"]
    _account(bench, run, "delivered" if receipts or callbacks else "sent")
    return run


def simulated(lane: Lane) -> dict[str, Any]:
    assert lane.simulator is not None
    return lane.simulator.stats()


def _account(bench: Bench, run: Run, wanted: str) -> None:
    """Compare what was accepted with what the ledger says became of it."""
    found: dict[str, int] = {}

    def told() -> int:
        found.clear()
        found.update(ledger.statuses(bench.stack.database, run=run.job.run))
        return found.get(wanted, 0)

    # A receipt that overtook its answer is acknowledged, parked, and matched some tenths of a second later.
    reaches(told, run.load.accepted, every=0.5, patience=5.0)
    run.lost = run.load.accepted - found.get(wanted, 0)
    run.complete = run.complete and run.load.accepted == run.job.count
    run.latency = ledger.stages(bench.stack.database, run=run.job.run)
    run.more["statuses"] = found
