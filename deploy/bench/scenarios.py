"""What is measured. Each scenario returns its result, and says what it aims at and whether that was reached."""

import time
from collections.abc import Callable

from deploy import load, measure
from deploy.bench import dispatching, failover, figures, inbound, ledger, runs, scale
from deploy.bench.lanes import Bench, record_lines
from deploy.bench.runs import Result
from deploy.measure import Memory

DELIVERED = "message.delivered"
SETTLE_SECONDS = 5.0
STORED = 1_000_000
WINDOW, SLOW_SECONDS = 100, 0.05


def bulk_accept(bench: Bench) -> Result:
    run = runs.accept(bench, 5_000 if bench.quick else 150_000)
    return run.result(target={"messages_per_second": 15_000}, met=run.rate >= 15_000)


def single_accept(bench: Bench) -> Result:
    """Single POSTs: key, rate limit, idempotency, opt-outs and commit each."""
    run = runs.accept(bench, 1_000 if bench.quick else 20_000, per_call=1, connections=64)
    return run.result(target={"messages_per_second": 2_000}, met=run.rate >= 2_000)


def bulk_call(bench: Bench) -> Result:
    """One call of 1,000 messages after another: how long each takes."""
    run = runs.accept(bench, 5_000 if bench.quick else 60_000, connections=1)
    median = measure.spread(run.load.latencies)["p50"]
    return run.result(target={"median_ms": 60}, met=median < 60)


def submit(bench: Bench, lane: str = "silent") -> Result:
    run = runs.carry(bench, lane, 3_000 if bench.quick else 30_000)
    return run.result(target={"messages_per_second": 4_500}, met=run.rate >= 4_500)


def receipts(bench: Bench, lane: str = "receipts") -> Result:
    """As `submit`, with a receipt for each message after 100 ms, until the last one is recorded."""
    run = runs.carry(bench, lane, 3_000 if bench.quick else 30_000, receipts=True)
    return run.result(target={}, met=True)


def callbacks(bench: Bench, lane: str = "receipts") -> Result:
    with bench.webhook(bench.lane(lane), DELIVERED):
        run = runs.carry(bench, lane, 2_000 if bench.quick else 20_000, callbacks=True)
        seen = bench.sink.ask(do="report")
    run.lost = max(run.lost, run.load.accepted - int(seen["distinct"]))
    run.duplicated += int(seen["duplicates"])
    run.latency["delivered_to_callback"] = measure.spread(seen["late"])
    recorded = ledger.attempts(bench.stack.database, run=run.job.run)
    run.more |= {
        "callbacks_verified": seen["verified"],
        "wrong_signatures": seen["refused"],
        "attempts_recorded": recorded,
    }
    met = run.rate >= 2_000 and recorded == run.job.count and not seen["refused"]
    return run.result(target={"messages_per_second": 2_000}, met=met)


def slow_smsc(bench: Bench) -> Result:
    run = runs.carry(bench, "slow", 4_000 if bench.quick else 20_000)
    fraction = run.rate / (WINDOW / SLOW_SECONDS)
    run.more["fraction_of_window_by_latency"] = round(fraction, 3)
    return run.result(target={"fraction_of_window_by_latency": 0.9}, met=fraction >= 0.9)


def http_operator(bench: Bench) -> Result:
    """An HTTP operator that takes 200 ms to answer each message."""
    run = runs.carry(bench, "http", 1_000 if bench.quick else 10_000)
    run.more["most_requests_at_once"] = runs.simulated(bench.lane("http"))["most_busy"]
    return run.result(target={"messages_per_second": 500}, met=run.rate >= 500)


def latency(bench: Bench) -> Result:
    """20 messages a second: from the answer to the client, and from its request, to the simulator's submit_sm."""
    run = runs.carry(
        bench,
        "recorded",
        60 if bench.quick else 1_000,
        receipts=True,
        per_call=1,
        connections=8,
        rate=20,
        times=True,
    )
    simulator = bench.lane("recorded").simulator
    assert simulator is not None
    assert simulator.record is not None
    time.sleep(0.2)  # the record is written every 100 ms
    submitted = record_lines(simulator.record, run.load.began_at)
    numbers = range(run.job.first, run.job.first + run.job.count)
    moments = [submitted.get(load.recipient(number, run.job.prefixes), run.ended_at) for number in numbers]
    answered = run.load.answered_at
    accept = [until - since for since, until in zip(answered, moments, strict=True)]
    whole = [taken + call for taken, call in zip(accept, run.load.latencies, strict=True)]
    found = measure.spread(accept)
    run.latency = {
        "accepted_to_submit_sm": found,
        "request_to_submit_sm": measure.spread(whole),
        **run.latency,
    }
    target = {"accepted_to_submit_sm_p50_ms": 20.0, "accepted_to_submit_sm_p99_ms": 100.0}
    return run.result(target=target, met=found["p50"] <= 20 and found["p99"] <= 100)


def operators_4(bench: Bench) -> dict[str, Result]:
    """Four operators of one window each, a quarter of the recipients each."""
    return {
        "submit": submit(bench, "four-silent"),
        "receipts": receipts(bench, "four"),
        "callbacks": callbacks(bench, "four"),
    }


def workers_2(bench: Bench) -> dict[str, Result]:
    """A second worker of the operators' queues, with binds of its own to the same operator."""
    bench.add_worker(bench.lane("receipts"), "worker_2")
    bench.lane("silent")
    try:
        return {"submit": submit(bench), "receipts": receipts(bench), "callbacks": callbacks(bench)}
    finally:
        bench.stack.end_worker("worker_2")


def million(bench: Bench) -> dict[str, Result]:
    """The same with 1,000,000 delivered messages stored before, of the same tenants."""
    lanes = [bench.lane(name) for name in ("silent", "receipts", "down", "recorded")]
    bench.fresh()
    count = 20_000 if bench.quick else STORED
    bench.say(f"storing {count:,} messages")
    ledger.fill(bench.stack.database, count=count, tenant_ids=[lane.tenant_id for lane in lanes])
    bench.keep_rows = True
    try:
        each = (bulk_accept, single_accept, submit, receipts, callbacks, latency)
        return {scenario.__name__: {**scenario(bench), "stored_before": count} for scenario in each}
    finally:
        bench.keep_rows = False


def memory(bench: Bench, idle: Memory) -> Result:
    """The whole stack at rest as it started, at most in any scenario so far, and at rest again."""
    run = runs.carry(bench, "receipts", 2_000 if bench.quick else 30_000, receipts=True)
    time.sleep(1 if bench.quick else SETTLE_SECONDS)
    after = measure.total(measure.memory(bench.stack.pids()).values())
    sizes = {"idle": idle, "under_load": bench.peak, "idle_after_load": after}
    # What processes share is in memory once; where the kernel does not tell, what it takes at most must do.
    taken = {
        name: (size.rss if size.pss is None else size.pss) / measure.MEGABYTE for name, size in sizes.items()
    }
    return {
        "target": {"idle_mb": 600, "under_load_mb": 900},
        "met": taken["idle"] <= 600 and taken["under_load"] <= 900,
        "measure": "pss: shared pages counted once; rss counts them for each process",
        **{name: figures.megabytes(size) for name, size in sizes.items()},
        "parts_under_load_mb": figures.peaks(run.window),
        "lost": run.lost,
        "duplicated": run.duplicated,
        "complete": run.complete,
    }


SINGLE: dict[str, Callable[[Bench], Result]] = {
    "bulk_accept": bulk_accept,
    "bulk_call": bulk_call,
    "single_accept": single_accept,
    "submit": submit,
    "receipts": receipts,
    "callbacks": callbacks,
    "callback_isolation": dispatching.callback_isolation,
    "callback_slow": dispatching.callback_slow,
    "slow_smsc": slow_smsc,
    "http_operator": http_operator,
    "latency": latency,
    "failover": failover.failover,
    "inbound": inbound.inbound,
    "inbound_http": inbound.inbound_http,
}
GROWTH: dict[str, Callable[[Bench], dict[str, Result]]] = {
    "operators_4": operators_4,
    "workers_2": workers_2,
    "scale": scale.scale,
    "million": million,
}
NAMES = (*SINGLE, "memory", *GROWTH)


def run(bench: Bench, name: str, *, idle: Memory) -> dict[str, Result]:
    """A scenario's results by name; a growth scenario has several, `million.submit` and so on."""
    bench.say(f"running {name}")
    if name == "memory":
        return {name: memory(bench, idle)}
    if name in SINGLE:
        return {name: SINGLE[name](bench)}
    return {f"{name}.{part}": result for part, result in GROWTH[name](bench).items()}
