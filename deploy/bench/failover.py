"""What becomes of messages that wait for an operator whose bind is lost: another carries them."""

import time
from typing import Any

from deploy.bench.lanes import PASSWORD, UP_SECONDS, Bench, BenchError, await_, reaches
from deploy.bench.peers import Simulator

WAITING = 10_000
TARGET_SECONDS = 5.0
SLUG = "failing"


def failover(bench: Bench) -> dict[str, Any]:
    """10,000 messages wait for an operator, its SMSC goes: until the next operator has accepted all of them.

    The first takes one message a second, so that the others wait.
    """
    standby = bench.lane("silent")
    if standby.simulator is None:
        raise BenchError("The lane has no simulator.")
    bench.fresh()
    with Simulator("simulator failing", "--receipts", "none") as failing:
        _prefer(bench, failing.port, standby.way.prefixes[0])
        job = bench.job(standby, WAITING // 10 if bench.quick else WAITING)
        bench.source.prepare(job)
        stats = standby.simulator.stats()
        before, duplicates = int(stats["accepted"]), int(stats["duplicates"])
        bench.source.begin()
        accepted = bench.source.result().accepted
        went_on = int(standby.simulator.stats()["accepted"]) - before
        sent = int(failing.stats()["accepted"])
        lost_at = time.monotonic()
    simulator = standby.simulator
    goal = before + accepted - sent
    complete = reaches(lambda: int(simulator.stats()["accepted"]), goal, every=0.02, patience=15.0)
    seconds = time.monotonic() - lost_at
    now = simulator.stats()
    bench.stack.commands(("add_operator", SLUG, "--update", "--inactive"))
    bench.settle()
    return {
        "target": {"seconds": TARGET_SECONDS},
        "met": complete and not went_on and seconds <= TARGET_SECONDS,
        "messages": accepted,
        "sent_before_the_loss": sent,
        "seconds": round(seconds, 3),
        "lost": max(0, goal - int(now["accepted"])),
        "duplicated": int(now["duplicates"]) - duplicates,
        "complete": complete,
    }


def _prefer(bench: Bench, port: int, prefix: str) -> None:
    """An operator that goes before the lane's own."""
    there = bench.stack.ask("SELECT count(*) FROM routing_operator WHERE slug = %s", SLUG)
    account = ("--host", "127.0.0.1", "--port", str(port), "--system-id", SLUG, "--password", PASSWORD)
    wish = ("--transport", "smpp", "--channel", "sms", "--rate", "1", *account)
    route = ("add_route", "--operator", SLUG, "--prefix", prefix.removeprefix("+"), "--tenant", "silent")
    if there:
        bench.stack.commands(("add_operator", SLUG, "--update", "--active", *wish))
    else:
        bench.stack.commands(("add_operator", SLUG, *wish), (*route, "--priority", "10"))
    await_(lambda: bench.binds([SLUG]) >= 1, UP_SECONDS, f"The operator {SLUG} is not up.")
    time.sleep(2.5)  # as long as routes are remembered
