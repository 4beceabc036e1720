"""The parts of `make run`, in the order in which they start, and how each is known to be ready."""

import http.client
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy import child, home, postgres
from deploy.part import Part, always

# Order of stopping: nothing new comes in, nothing more is handed over, what is in flight ends, then the rest.
STOP_API, STOP_RELAY, STOP_WORKERS, STOP_PEERS, STOP_DATABASE = range(5)

GRANIAN = (
    *("-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws"),
    *("--workers", "2", "--blocking-threads", "16", "--backlog", "1024", "--backpressure", "256"),
    *("--respawn-failed-workers", "--respawn-interval", "0.1", "--workers-kill-timeout", "5"),
    *("--log-level", "warning", "deploy.wsgi:application"),
)
# Workers have nothing to tell each other, and mingling would delay their start by a second.
CELERY = ("-m", "celery", "-A", "config", "worker", "-P", "threads", "-c", "2", "--prefetch-multiplier", "1")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@dataclass(frozen=True)
class Plan:
    """What the parts are told.

    Attributes:
        environment: shared by all parts.
        port, smsc_port, listener_port: on loopback.
        server: the embedded PostgreSQL; None when DATABASE_URL names another.
        demo: whether the demo operator, its simulator and listener run; `demo_output` gets what their
            set-up prints.
        new_demo_key: whether the set-up must issue a key although it may have issued one before.
    """

    environment: Mapping[str, str]
    port: int
    smsc_port: int
    listener_port: int
    server: postgres.Server | None
    demo: bool
    demo_output: Path
    new_demo_key: bool

    @property
    def callback_url(self) -> str:
        return f"http://127.0.0.1:{self.listener_port}/"


def table(plan: Plan) -> list[Part]:
    """All parts of `plan`."""
    return [*_database(plan), *(_demo(plan) if plan.demo else ()), *_core(plan)]


def _database(plan: Plan) -> Iterator[Part]:
    if plan.server is not None:
        yield Part(
            "postgres",
            tuple(plan.server.command()),
            postgres.ENVIRONMENT,
            ready=plan.server.ready,
            stop_order=STOP_DATABASE,
            stop_signal=signal.SIGINT,
            stop_seconds=30,
        )
    yield _python(
        plan,
        "setup",
        *("-m", "deploy.setup", *(_demo_options(plan) if plan.demo else ())),
        needs=("postgres",) if plan.server is not None else (),
        once=True,
        stdout=str(plan.demo_output),
    )


def _core(plan: Plan) -> Iterator[Part]:
    api = (*GRANIAN[:-1], "--host", "127.0.0.1", "--port", str(plan.port), GRANIAN[-1])
    needs = ("postgres",) if plan.server is not None else ()
    yield _python(plan, "api", *api, needs=needs, ready=_answers(plan.port), stop_order=STOP_API)
    yield _python(plan, "relay", "manage.py", "relay", stop_order=STOP_RELAY)
    for name, queue in (("worker", "operators"), ("webhooks", "webhooks")):
        celery = (*CELERY, "-Q", queue, "-n", f"{queue}@%h", *QUIET)
        yield _python(plan, name, *celery, stop_order=STOP_WORKERS, stop_seconds=15)


def _demo(plan: Plan) -> Iterator[Part]:
    yield _python(
        plan,
        "smsc",
        *("-m", "smpp_bind.simulator", "--port", str(plan.smsc_port)),
        needs=(),
        ready=_accepts(plan.smsc_port),
        stop_order=STOP_PEERS,
    )
    yield _python(
        plan,
        "listener",
        *("-m", "deploy.listener", "--port", str(plan.listener_port)),
        needs=(),
        ready=_accepts(plan.listener_port),
        stop_order=STOP_PEERS,
    )
    yield _python(plan, "watch", "-m", "deploy.watch", late=True, stdout="-", stop_order=STOP_PEERS)


def _demo_options(plan: Plan) -> list[str]:
    """What the set-up of the demo is told."""
    options = ["--json", "--smsc-port", str(plan.smsc_port), "--callback-url", plan.callback_url]
    return [*options, "--new-key"] if plan.new_demo_key else options


def _python(
    plan: Plan,
    name: str,
    *arguments: str,
    needs: tuple[str, ...] = ("setup", "api"),
    ready: Callable[[int], bool] = always,
    once: bool = False,
    late: bool = False,
    stdout: str | None = None,
    stop_order: int = STOP_API,
    stop_seconds: float = 10.0,
) -> Part:
    """A part that is a Python program of this checkout.

    By default it waits for the API too: loading takes all processors, and the API is what one waits for.
    """
    return Part(
        name,
        tuple(child.command([sys.executable, *arguments])),
        {**plan.environment, "TRUNKLINE_ROLE": name},
        needs=needs,
        ready=ready,
        once=once,
        late=late,
        stdout=stdout,
        stop_order=stop_order,
        stop_seconds=stop_seconds,
    )


def _accepts(port: int) -> Callable[[int], bool]:
    """Whether something listens on `port`."""

    def ready(_pid: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.3).close()
        except OSError:
            return False
        return True

    return ready


def _answers(port: int) -> Callable[[int], bool]:
    """Whether the API on `port` answers that it lives."""

    def ready(_pid: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)
        try:
            connection.request("GET", "/health/live")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready


def ports() -> tuple[int, int]:
    """Two free ports: for the simulator and for the listener."""
    first = home.free_port()
    second = home.free_port()
    while second == first:
        second = home.free_port()
    return first, second
