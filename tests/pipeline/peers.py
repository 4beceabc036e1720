"""The outside world: an SMSC and a listener for callbacks, both with a memory."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter, defaultdict

from deploy import child, home, listener


class Smsc:
    """The product's simulator as a process, with its orders and its record of accepted submits."""

    def __init__(self, folder):
        self.port, self._control_port = home.free_port(), home.free_port()
        self.record = folder / "smsc.record"
        self._log = folder / "smsc.out"
        self._process = None
        self._socket = self._lines = None
        self._lock = threading.Lock()

    def start(self):
        options = ["--port", str(self.port), "--control-port", str(self._control_port), "--json"]
        # An answer takes its time, so that the window is full of submits when something dies.
        options += ["--record", str(self.record), "--latency", "5-15", "--receipt-delay", "20-60"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                child.command(
                    [sys.executable, "-m", "smpp_bind.simulator", *options], death_signal=signal.SIGKILL
                ),
                cwd=home.CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        for _ in ("control port", "port"):
            assert self._process.stdout.readline(), self._log.read_text()
        self._socket = socket.create_connection(("127.0.0.1", self._control_port), timeout=10)
        self._lines = self._socket.makefile("rw")

    def orders(self, order):
        """Its answer to an order of `simulate_smsc --control-port`."""
        with self._lock:
            self._lines.write(order + "\n")
            self._lines.flush()
            answer = json.loads(self._lines.readline())
        assert answer["ok"], answer
        return answer

    def close(self):
        if self._process is None:
            return
        if self._socket is not None:
            self._lines.close()
            self._socket.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def submits(self):
        """The recipient of each accepted submit, in order, with the plus sign."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        return ["+" + line.split("\t")[2] for line in lines]


class Listener:
    """A receiver of callbacks in a thread, which can be down for a while.

    ``came`` is (webhook-id, body) of each callback with a right signature, in order.
    """

    def __init__(self):
        self.port = home.free_port()
        self.came = []
        self._called = defaultdict(Counter)
        self._counted = 0
        self.received = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server = None
        self._connections = set()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/callbacks"

    def start(self, *, secret):
        self.received = listener.Received(
            listener.key(secret),
            keep=10**9,
            on_callback=lambda name, body, _at: self.came.append((name, body)),
        )
        self._thread.start()
        self.up()

    def called(self):
        """clientMessageId → Counter of webhook-ids, of all callbacks about messages that came."""
        came = self.came[self._counted :]
        self._counted += len(came)
        for name, body in came:
            self._called[json.loads(body)["data"]["clientMessageId"]][name] += 1
        return self._called

    def up(self):
        self._do(self._up())

    def down(self):
        """Refuse connections, end those that are open."""
        self._do(self._down())

    def close(self):
        if self._thread.is_alive():
            self.down()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _do(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _up(self):
        make = self._connection
        self._server = await self._loop.create_server(make, "127.0.0.1", self.port, backlog=1024)

    async def _down(self):
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self._connections):
            transport.abort()
        await asyncio.sleep(0.05)

    def _connection(self):
        return _Known(self.received, self._connections)


class _Known(listener.Connection):
    """A connection that can be found again."""

    def __init__(self, received, known):
        super().__init__(received)
        self._known = known

    def connection_made(self, transport):
        super().connection_made(transport)
        self._known.add(transport)

    def connection_lost(self, exc):
        self._known.discard(self._transport)
        super().connection_lost(exc)
