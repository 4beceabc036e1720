"""The processes around the stack: simulated SMSCs, the receiver of callbacks, the source of load."""

import dataclasses
import json
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy import child, home, load

# Orders to a simulator that are written before their answers are read.
ORDERS_AT_ONCE = 500


class PeerError(Exception):
    """A peer ended or said that it failed; the text says which and what."""


class Peer:
    """A process of this checkout that speaks lines of JSON; ended by leaving."""

    def __init__(self, name: str, module: str, *arguments: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            # In a session of its own: Ctrl-C is for the bench, which ends its peers itself; they die with it.
            child.command([sys.executable, "-m", module, *arguments]),
            cwd=home.CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next line; raises PeerError when there is none or it is an error."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"{self.name} has ended.")
        answer = dict(json.loads(line))
        if "error" in answer:
            raise PeerError(f"{self.name}: {answer['error']}")
        return answer


class Simulator(Peer):
    """An SMSC; `record` names a file that gets a line for each accepted submit."""

    def __init__(self, name: str, *arguments: str, record: Path | None = None) -> None:
        wanted = ["--port", "0", "--control-port", "0", "--json", "--count-duplicates", *arguments]
        wanted += [] if record is None else ["--record", str(record)]
        super().__init__(name, "smpp_bind.simulator", *wanted)
        self.record = record
        self._control = socket.create_connection(("127.0.0.1", self.hear()["controlPort"]))
        self._lines = self._control.makefile("r")
        self.port = int(self.hear()["port"])

    def stats(self) -> dict[str, Any]:
        """Its counters now."""
        self._control.sendall(b"stats\n")
        return dict(json.loads(self._lines.readline()))

    def write(self, texts: Iterable[tuple[str, str, str]]) -> None:
        """Handsets write: (from, to, text) each. Returns when all are on their way, or wait for a bind."""
        orders = [f"mo {sender} {recipient} {text}\n".encode() for sender, recipient, text in texts]
        for start in range(0, len(orders), ORDERS_AT_ONCE):
            some = orders[start : start + ORDERS_AT_ONCE]
            self._control.sendall(b"".join(some))
            for _ in some:
                answer = json.loads(self._lines.readline())
                if not answer["ok"]:
                    raise PeerError(f"{self.name}: {answer['error']}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._control.close()
        super().__exit__(kind, error, trace)


class Provider(Peer):
    """An HTTP operator; see `deploy.bench.provider`."""

    record: Path | None = None

    def __init__(self, name: str, *, latency: float) -> None:
        super().__init__(name, "deploy.bench.provider", "--latency", str(latency))
        self.port = int(self.hear()["port"])

    def stats(self) -> dict[str, Any]:
        """Its counters now."""
        self.say("stats")
        return self.hear()


class Sink(Peer):
    """The receiver of callbacks; see `deploy.bench.sink`."""

    def __init__(self) -> None:
        super().__init__("callback listener", "deploy.bench.sink")
        ports = self.hear()
        self.port, self.slow, self.hung = (int(ports[name]) for name in ("port", "slow", "hung"))

    def ask(self, **order: str) -> dict[str, Any]:
        self.say(json.dumps(order))
        return self.hear()


class Source(Peer):
    """The source of load; see `deploy.load`."""

    def __init__(self) -> None:
        super().__init__("load generator", "deploy.load")

    def prepare(self, job: load.Job) -> None:
        """Make the calls, so that only sending them is left to do."""
        self.say(json.dumps(dataclasses.asdict(job)))
        self.hear()

    def begin(self) -> None:
        """Start sending what was prepared; `result` waits for its end."""
        self.say("go")

    def result(self) -> load.Result:
        return load.Result(**self.hear())
