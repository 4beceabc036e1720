"""What handsets send, by SMPP and by HTTP: to the row, the operator's answer, and the callback that tells of it."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from deploy import load, measure
from deploy.bench import figures, ledger
from deploy.bench.lanes import INTAKE_TOKEN, Bench, BenchError, Lane, reaches
from deploy.bench.peers import Simulator

RECEIVED = "message.received"
MESSAGES, POSTS = 20_000, 10_000
TARGET = 2_000.0
CONNECTIONS = 64


def inbound(bench: Bench) -> dict[str, Any]:
    """Texts to one tenant's number over one bind: until the last is stored and answered, and its callback come."""
    lane = bench.lane("inbound")
    simulator = lane.simulator
    if not isinstance(simulator, Simulator):
        raise BenchError("The lane has no simulator.")
    count = MESSAGES // 10 if bench.quick else MESSAGES
    before = int(simulator.stats()["mo_acknowledged"])

    def send() -> bool:
        simulator.write((load.recipient(each), lane.way.numbers[0], _text(each)) for each in range(count))
        return reaches(lambda: int(simulator.stats()["mo_acknowledged"]) - before, count, every=0.02)

    return _measured(bench, lane, count, send, TARGET)


def inbound_http(bench: Bench) -> dict[str, Any]:
    """The same by single posts of an HTTP operator to its intake."""
    lane = bench.lane("http")
    count = POSTS // 10 if bench.quick else POSTS
    path = f"/intake/http-0/inbound/{INTAKE_TOKEN}"
    calls = [_post(bench.stack.port, path, each, lane.way.numbers[0]) for each in range(count)]

    def send() -> bool:
        drive = load.Drive(calls, port=bench.stack.port, connections=CONNECTIONS)
        with asyncio.Runner(loop_factory=load.new_loop) as runner:
            runner.run(drive.run())
        return drive.statuses[200] == count

    return _measured(bench, lane, count, send)


def _post(port: int, path: str, number: int, to: str) -> bytes:
    body = json.dumps({"from": load.recipient(number), "to": to, "text": _text(number)})
    return load.request(port=port, key="none", path=path, body=body)


def _text(number: int) -> str:
    return f"Where is order {number}?"


def _measured(
    bench: Bench, lane: Lane, count: int, send: Callable[[], bool], target: float = 0.0
) -> dict[str, Any]:
    """``send`` returns when all are answered: true when as they should be."""
    bench.fresh()
    with bench.webhook(lane, RECEIVED):
        with bench.window(lane) as window:
            began = time.monotonic()
            complete = send()
            answered = time.monotonic() - began
            complete = reaches(lambda: int(bench.sink.ask(do="counts")["distinct"]), count) and complete
            told = time.monotonic() - began
            window.close()
        bench.peak = measure.larger(bench.peak, window.peaks.together)
        bench.settle()
        seen = bench.sink.ask(do="report")
    stored, distinct = ledger.inbound(bench.stack.database, tenant_id=lane.tenant_id)
    return {
        "target": {"messages_per_second": target} if target else {},
        "met": complete and stored == count and count / answered >= target,
        "messages": count,
        "seconds": round(answered, 3),
        "messages_per_second": round(count / answered, 1),
        "told_per_second": round(count / told, 1),
        "callbacks_verified": seen["verified"],
        "wrong_signatures": seen["refused"],
        "lost": max(count - distinct, count - int(seen["distinct"])),
        "duplicated": stored - distinct + int(seen["duplicates"]),
        "complete": complete,
        "latency_ms": {"stored_to_callback": measure.spread(seen["late"])},
        "cpu_seconds_per_1000": figures.cpu(window, count),
        "peak_memory_mb": figures.peaks(window),
    }
