"""Ways through the stack, each with its own tenant, key, operators and simulated SMSC, opened when needed."""

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests

from deploy import home, load, measure
from deploy.bench import ledger
from deploy.bench.peers import Provider, Simulator, Sink, Source
from deploy.bench.stack import Stack

UP_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
PASSWORD = "bench"
INTAKE_TOKEN = "intake-of-the-bench"
# Messages that go first, so that connections, prepared statements and caches are as in a stack that has run.
WARM_UP = 400
# Messages a second of the operator with a rate; the window of the one with a narrow window.
RATE, NARROW = 200.0, 10


class BenchError(Exception):
    """The bench cannot go on; the text says why."""


@dataclass(frozen=True)
class Way:
    """What a lane is made of: options of its simulator (None: there is none), and how many operators.

    `http` makes them HTTP operators of one provider instead, which answers after so many seconds. `terms` are more
    options of its operators, `numbers` what its tenant owns.
    """

    simulator: tuple[str, ...] | None
    operators: int = 1
    recorded: bool = False
    http: float | None = None
    terms: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    @property
    def prefixes(self) -> tuple[str, ...]:
        return ("+3361", "+3362", "+3363", "+3366")[: self.operators]

    @property
    def reports(self) -> bool:
        """Whether its simulator sends receipts."""
        return self.simulator is not None and "none" not in self.simulator


WAYS = {
    "receipts": Way(()),
    "silent": Way(("--receipts", "none")),
    "slow": Way(("--receipts", "none", "--latency", "50")),
    "recorded": Way((), recorded=True),
    "four": Way((), operators=4),
    "four-silent": Way(("--receipts", "none"), operators=4),
    "http": Way(
        None, http=0.2, terms=("--secret", f"intake_token={INTAKE_TOKEN}"), numbers=("+14155550101",)
    ),
    "rated": Way(("--receipts", "none"), recorded=True, terms=("--rate", f"{RATE:g}")),
    "narrow": Way(("--receipts", "none", "--latency", "50"), terms=("--window", f"{NARROW}")),
    "inbound": Way(("--receipts", "none"), numbers=("+14155550100",)),
    # Its operator is down, so that what is accepted stays where acceptance put it.
    "down": Way(None),
}


@dataclass(frozen=True)
class Lane:
    """An open way."""

    way: Way
    tenant_id: int
    key: str
    simulator: Simulator | Provider | None


class Bench:
    """The stack, its peers, and the lanes that are open.

    Attributes:
        keep_rows: whether a scenario leaves the rows of those before it.
        peak: the most memory that the stack took in a scenario so far.
    """

    def __init__(self, stack: Stack, *, quick: bool, say: Callable[[str], None]) -> None:
        self.stack, self.quick, self.say = stack, quick, say
        self.keep_rows = False
        self.peak = measure.Memory(0, 0)
        self._lanes: dict[str, Lane] = {}
        self._peers = contextlib.ExitStack()
        self._number = 0

    def __enter__(self) -> Self:
        self.source = self._peers.enter_context(Source())
        self.sink = self._peers.enter_context(Sink())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._peers.close()

    def lane(self, name: str) -> Lane:
        """The lane, opened and warmed up at its first use."""
        if name not in self._lanes:
            self._lanes[name] = self._open(name, WAYS[name])
            self._warm_up(self._lanes[name])
        return self._lanes[name]

    def _open(self, name: str, way: Way) -> Lane:
        self.say(f"opening lane {name}")
        simulator: Simulator | Provider | None = None
        if way.http is not None:
            simulator = self._peers.enter_context(Provider(f"provider {name}", latency=way.http))
        elif way.simulator is not None:
            record = self.stack.folder / f"{name}.record" if way.recorded else None
            simulator = self._peers.enter_context(
                Simulator(f"simulator {name}", *way.simulator, record=record)
            )
        port = simulator.port if simulator else home.free_port()
        # A rate that is never reached, and is looked after for every request.
        key = ("issue_key", "--tenant", name, "--name", "bench", "--rate", "50000", "--burst", "50000")
        commands: list[tuple[str, ...]] = [("create_tenant", name), key]
        slugs = [f"{name}-{number}" for number in range(way.operators)]
        for slug, prefix in zip(slugs, way.prefixes, strict=True):
            made = _operator(slug, port) if way.http is None else _http_operator(slug, port)
            commands += [(*made, *way.terms), _route(slug, name, prefix)]
        commands += [("add_number", number, "--tenant", name) for number in way.numbers]
        _tenant, issued, *_rest = self.stack.commands(*commands)
        if simulator is not None:
            await_(
                lambda: self.binds(slugs) >= way.operators, UP_SECONDS, f"The operators of {name} are not up."
            )
        tenant_id = self.stack.ask("SELECT id FROM gateway_tenant WHERE slug = %s", name)
        return Lane(way, int(tenant_id), str(issued["apiKey"]), simulator)

    def binds(self, slugs: list[str]) -> int:
        """How many (operator, worker) pairs are up."""
        query = (
            "SELECT count(*) FROM routing_operatorstate s JOIN routing_operator o ON o.id = s.operator_id"
            " WHERE s.up AND s.seen_at > now() - interval '3 s' AND o.slug = ANY(%s)"
        )
        return int(self.stack.ask(query, slugs))

    def _warm_up(self, lane: Lane) -> None:
        for per_call, connections in ((100, 4), (1, 64)):
            job = self.job(lane, WARM_UP, per_call=per_call, connections=connections)
            self.source.prepare(job)
            self.source.begin()
            result = self.source.result()
            if result.accepted != job.count:
                raise BenchError(f"The API refuses messages: {result.statuses}")
            if lane.way.reports:
                # A late receipt would be taken for one of the run that follows.
                self._await_receipts(job)
        if lane.simulator is None:
            ledger.forget_waiting(self.stack.database)
        self.settle()

    def _await_receipts(self, job: load.Job) -> None:
        def delivered() -> bool:
            return ledger.statuses(self.stack.database, run=job.run).get("delivered") == job.count

        await_(delivered, PATIENCE_SECONDS, "The simulator reports too little.")

    def job(self, lane: Lane, count: int, **options: Any) -> load.Job:
        """Messages for a lane that were never sent before."""
        first, self._number = self._number, self._number + count
        run = f"bench{secrets.token_hex(4)}"
        prefixes = lane.way.prefixes
        return load.Job(
            port=self.stack.port,
            key=lane.key,
            run=run,
            count=count,
            first=first,
            prefixes=prefixes,
            **options,
        )

    def settle(self) -> None:
        """Wait until all is done; raises BenchError when it does not end."""
        await_(
            lambda: ledger.settled(self.stack.database), PATIENCE_SECONDS, "The stack does not come to rest."
        )

    def fresh(self) -> None:
        """Begin with empty tables, or with the rows that are to be kept and nothing waiting."""
        self.settle()
        if not self.keep_rows:
            ledger.empty(self.stack.database)

    def window(self, lane: Lane) -> measure.Window:
        """Measures the stack and the peers that the lane uses; the memory of the whole is the stack's alone."""
        peers = {"load generator": self.source.pid, "callback listener": self.sink.pid}
        if lane.simulator is not None:
            peers["simulator"] = lane.simulator.pid
        return measure.Window(lambda: {**self.stack.pids(), **peers}, counted=lambda name: name not in peers)

    @contextlib.contextmanager
    def webhook(self, lane: Lane, *events: str, port: int | None = None, **members: Any) -> Iterator[str]:
        """The lane's tenant subscribes the sink to events while the block lasts; gives the webhook's id.

        The sink verifies with its secret from now on, unless another of its ports is named.
        """
        with self.webhooks(lane, *events, count=1, port=port, told=port is None, **members) as (made,):
            yield made

    @contextlib.contextmanager
    def webhooks(
        self, lane: Lane, *events: str, count: int, port: int | None = None, told: bool = True, **members: Any
    ) -> Iterator[list[str]]:
        """So many webhooks of one secret at a port of the sink while the block lasts; gives their ids."""
        root = f"http://127.0.0.1:{self.stack.port}/v1/webhooks/messages"
        headers = {"Authorization": f"Bearer {lane.key}"}
        url = f"http://127.0.0.1:{port or self.sink.port}/"
        wish = {"url": url, "method": "POST", "encoding": "JSON", "events": events, **members}
        made = requests.post(root, json=wish, headers=headers, timeout=10)
        if made.status_code != 201:
            raise BenchError(f"The webhook was refused: {made.status_code} {made.text[:300]}")
        if told:
            self.sink.ask(secret=made.json()["secret"])
        first = str(made.json()["id"])
        copies = ledger.copy_webhook(self.stack.database, first, count=count - 1)
        try:
            yield [first, *copies]
        finally:
            ledger.remove_webhooks(self.stack.database, copies)
            requests.delete(f"{root}/{first}", headers=headers, timeout=60)

    def add_worker(self, lane: Lane, name: str, *, of_lane: bool = False) -> None:
        """Another worker of the operators' queues, or only of the lane's, bound to the lane's operators."""
        slug = self.stack.ask(
            "SELECT o.slug FROM routing_route r JOIN routing_operator o ON o.id = r.operator_id"
            " WHERE r.tenant_id = %s LIMIT 1",
            lane.tenant_id,
        )
        there = self.binds([slug])
        self.stack.add_worker(name, queue=f"operator.{slug}" if of_lane else "operators")
        await_(lambda: self.binds([slug]) > there, UP_SECONDS, f"The worker {name} is not up.")


def _operator(slug: str, port: int) -> tuple[str, ...]:
    return (
        *("add_operator", slug, "--transport", "smpp", "--channel", "sms", "--host", "127.0.0.1"),
        *("--port", str(port), "--system-id", slug, "--password", PASSWORD),
        *("--bind", "transceiver", "--window", "100"),
    )


def _http_operator(slug: str, port: int) -> tuple[str, ...]:
    body = {"to": "{{to}}", "from": "{{from}}", "text": "{{text}}", "ref": "{{messageId}}"}
    return (
        *("add_operator", slug, "--transport", "http", "--channel", "sms"),
        *("--url", f"http://127.0.0.1:{port}/messages", "--window", "250"),
        *("--set", f"body={json.dumps(body)}", "--set", "id_path=id"),
    )


def _route(slug: str, tenant: str, prefix: str) -> tuple[str, ...]:
    return ("add_route", "--operator", slug, "--tenant", tenant, "--prefix", prefix.removeprefix("+"))


def await_(check: Callable[[], bool], seconds: float, failure: str, *, every: float = 0.02) -> None:
    """Wait until `check` is true.

    Raises:
        BenchError: it is not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise BenchError(failure)
        time.sleep(every)


def reaches(
    count: Callable[[], int], goal: int, *, every: float = 0.05, patience: float | None = None
) -> bool:
    """Wait until `count` is `goal`; False when it stands still for `patience` seconds, 60 unless given."""
    before, moved_at = -1, time.monotonic()
    while (now := count()) < goal:
        if now != before:
            before, moved_at = now, time.monotonic()
        elif time.monotonic() - moved_at > (patience or PATIENCE_SECONDS):
            return False
        time.sleep(every)
    return True


def record_lines(path: Path, since: float) -> dict[str, float]:
    """Recipient → when the simulator got its submit_sm (seconds since the epoch), of those after `since`."""
    found: dict[str, float] = {}
    for line in path.read_text().splitlines():
        at, _system_id, destination, _rest = line.split("\t", 3)
        if float(at) >= since:
            found.setdefault(f"+{destination}", float(at))
    return found
