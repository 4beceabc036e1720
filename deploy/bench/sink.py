"""The receiver of the bench's callbacks, a process of its own.

It prints `{"port": …, "slow": …, "hung": …}`: a port that answers at once, one that answers after 300 ms, and one
that takes calls and never answers. It then answers each line of JSON on its standard input with one:

    {"secret": "whsec_…"}     verify with this from now on, and count from nought
    {"do": "counts"}          distinct, verified, refused, duplicates; hung: connections to the port that hangs
    {"do": "report"}          the same, and the seconds from each event to its callback, unsorted
"""

import asyncio
import json
import sys
import threading
from array import array
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

import msgspec

from deploy import listener, load


class _Data(msgspec.Struct, rename="camel"):
    occurred_at: str


class _Callback(msgspec.Struct):
    data: _Data


SLOW_SECONDS = 0.3

_read = msgspec.json.Decoder(_Callback).decode


class _Connection(listener.Connection):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)


class _Delayed:
    """A transport that writes later."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._later = asyncio.get_running_loop().call_later
        self.close = transport.close

    def write(self, data: bytes) -> None:
        self._later(SLOW_SECONDS, self._write, data)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


class _Slow(listener.Connection):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", _Delayed(cast("asyncio.Transport", transport)))


class _Hung(asyncio.Protocol):
    def __init__(self, sink: "Sink") -> None:
        sink.hung += 1


class Sink:
    """Counts, and how late each callback was."""

    def __init__(self) -> None:
        self.hung = 0
        self.received = listener.Received(b"", keep=100_000_000, on_callback=self._took)
        self._late = array("d")

    def _took(self, _name: str, body: bytes, now: float) -> None:
        self._late.append(now - datetime.fromisoformat(_read(body).data.occurred_at).timestamp())

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        if "secret" in order:
            self.received.secret = listener.key(order["secret"])
            self.received.verified = self.received.refused = self.received.duplicates = 0
            self.hung = 0
            self.received.arrivals.clear()
            del self._late[:]
        counts: dict[str, Any] = {
            "distinct": len(self.received.arrivals),
            "hung": self.hung,
            **self.received.counts(),
        }
        if order.get("do") == "report":
            counts["late"] = self._late.tolist()
        return counts


async def _serve() -> None:
    sink, loop, ended = Sink(), asyncio.get_running_loop(), asyncio.Event()
    kinds: dict[str, Callable[[], asyncio.Protocol]] = {
        "port": lambda: _Connection(sink.received),
        "slow": lambda: _Slow(sink.received),
        "hung": lambda: _Hung(sink),
    }
    servers = {
        name: await loop.create_server(kind, "127.0.0.1", 0, backlog=4096) for name, kind in kinds.items()
    }
    ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    print(json.dumps(ports), flush=True)

    def answer(line: str) -> None:
        print(json.dumps(sink.order(json.loads(line))), flush=True)

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(answer, line)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, name="orders", daemon=True).start()
    await ended.wait()
    for server in servers.values():
        server.close()


def main() -> None:
    with asyncio.Runner(loop_factory=load.new_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
