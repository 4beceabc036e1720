"""Callbacks alone: their rows are laid as fan-out leaves them, then the relay and the dispatcher do their part."""

import time
from collections.abc import Sequence
from typing import Any

from deploy import measure
from deploy.bench import figures, ledger
from deploy.bench.lanes import Bench, BenchError, Lane, await_, reaches

DELIVERED = "message.delivered"
# Callbacks that wait for the endpoint that hangs, and the healthy endpoints beside it.
HANGING, HEALTHY = 100_000, 50
# Its deadline, so that its attempts end, and are made again, while the others are measured.
HANGS_MS = 3_000
# Seconds between two callbacks to a healthy endpoint, and the seconds that they keep coming.
BEAT_SECONDS, LASTS_SECONDS = 0.25, 20.0
# Endpoints that take 300 ms (`sink.SLOW_SECONDS`), and callbacks to each.
SLOW_ENDPOINTS, SLOW_EACH = 1_000, 10


def callback_isolation(bench: Bench) -> dict[str, Any]:
    """Healthy endpoints beside one that never answers: from an event's commit to its callback's arrival."""
    waiting, seconds = (5_000, 3.0) if bench.quick else (HANGING, LASTS_SECONDS)
    lane = bench.lane("down")
    bench.fresh()
    with (
        bench.webhook(lane, DELIVERED, port=bench.sink.hung, read_timeout=HANGS_MS) as hung,
        bench.webhooks(lane, DELIVERED, count=HEALTHY) as healthy,
        bench.window(lane) as window,
    ):
        ledger.lay(bench.stack.database, tenant_id=lane.tenant_id, endpoints=[hung], count=waiting)
        await_(lambda: _hangs(bench), 10, "The endpoint that hangs is not called.")
        began = time.monotonic()
        count = _keep_coming(bench, lane, healthy, seconds)
        complete = reaches(lambda: _arrived(bench), count)
        took = time.monotonic() - began
        window.close()
        left = ledger.waiting(bench.stack.database, endpoint=hung)
        seen = bench.sink.ask(do="report")
    late = measure.spread(seen["late"])
    return {
        "target": {"healthy_p99_ms": 2_000},
        "met": complete and late["p99"] <= 2_000,
        "callbacks": count,
        "healthy_endpoints": HEALTHY,
        "seconds": round(took, 3),
        "waiting_for_the_one_that_hangs": {"before": waiting, "after": left},
        "calls_to_the_one_that_hangs": seen["hung"],
        **_account(seen, count, complete),
        "latency_ms": {"event_to_callback": late},
        "cpu_seconds_per_1000": figures.cpu(window, count),
    }


def _hangs(bench: Bench) -> bool:
    return int(bench.sink.ask(do="counts")["hung"]) > 0


def _keep_coming(bench: Bench, lane: Lane, endpoints: Sequence[str], seconds: float) -> int:
    """Lay one callback for each endpoint every beat; returns how many in all."""
    beats = round(seconds / BEAT_SECONDS)
    began = time.monotonic()
    for beat in range(beats):
        time.sleep(max(0.0, began + beat * BEAT_SECONDS - time.monotonic()))
        ledger.lay(bench.stack.database, tenant_id=lane.tenant_id, endpoints=endpoints, count=len(endpoints))
    return beats * len(endpoints)


def callback_slow(bench: Bench) -> dict[str, Any]:
    """Callbacks waiting on many endpoints that take their time: what a second of waiting costs the dispatcher."""
    endpoints = 100 if bench.quick else SLOW_ENDPOINTS
    count = endpoints * SLOW_EACH
    lane = bench.lane("down")
    bench.fresh()
    with bench.webhooks(lane, DELIVERED, count=endpoints, port=bench.sink.slow) as slow:
        with bench.window(lane) as window:
            began = time.monotonic()
            ledger.lay(bench.stack.database, tenant_id=lane.tenant_id, endpoints=slow, count=count)
            complete = reaches(lambda: _arrived(bench), count)
            complete = reaches(lambda: ledger.settled(bench.stack.database), 1, every=0.02) and complete
            took = time.monotonic() - began
            window.close()
        bench.peak = measure.larger(bench.peak, window.peaks.together)
        seen = bench.sink.ask(do="report")
        recorded = ledger.recorded(bench.stack.database, endpoints=slow)
    cpu = figures.cpu(window, count)
    if "webhooks" not in cpu:
        raise BenchError("The stack has no part named webhooks.")
    return {
        "target": {"dispatcher_cpu_seconds_per_1000": 0.7},
        "met": complete and recorded == count and cpu["webhooks"] <= 0.7,
        "callbacks": count,
        "endpoints": endpoints,
        "seconds": round(took, 3),
        "callbacks_per_second": round(count / took, 1),
        "attempts_recorded": recorded,
        **_account(seen, count, complete),
        "latency_ms": {"event_to_callback": measure.spread(seen["late"])},
        "cpu_seconds_per_1000": cpu,
        "peak_memory_mb": figures.peaks(window),
    }


def _arrived(bench: Bench) -> int:
    return int(bench.sink.ask(do="counts")["distinct"])


def _account(seen: dict[str, Any], count: int, complete: bool) -> dict[str, Any]:
    return {
        "lost": count - int(seen["distinct"]),
        "duplicated": int(seen["duplicates"]),
        "wrong_signatures": int(seen["refused"]),
        "complete": complete,
    }
