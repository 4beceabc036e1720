"""The bench's HTTP operator, a process of its own: takes every message, and answers it after a while.

It prints `{"port": …}` and then answers each line on its standard input with its counters. `--latency` is in seconds.
"""

import argparse
import asyncio
import json
import sys
import threading
from typing import cast

import msgspec

from deploy import load


class _Message(msgspec.Struct):
    ref: str


_read = msgspec.json.Decoder(_Message).decode


class Provider:
    """What it was sent: the first of each message, and those that came again."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.duplicates = self.busy = self.most_busy = 0
        self._seen: set[str] = set()

    def take(self, body: bytes) -> bytes:
        """Count a message; the answer to it."""
        ref = _read(body).ref
        if ref in self._seen:
            self.duplicates += 1
        self._seen.add(ref)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        told = b'{"id":"%d"}' % (len(self._seen) + self.duplicates)
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(told)
            + told
        )

    def counters(self) -> dict[str, int]:
        return {
            "accepted": len(self._seen),
            "duplicates": self.duplicates,
            "most_busy": self.most_busy,
            "receipts_acknowledged": 0,
        }


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, without pipelining; bodies by Content-Length only."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self._buffer[:end].lower()
        start = head.index(b"\r\ncontent-length:") + 17
        length = int(head[start : head.index(b"\r\n", start)])
        if len(self._buffer) >= end + length:
            answer = self._provider.take(self._buffer[end : end + length])
            self._buffer = self._buffer[end + length :]
            asyncio.get_running_loop().call_later(self._provider.latency, self._answer, answer)

    def _answer(self, answer: bytes) -> None:
        self._provider.busy -= 1
        self._transport.write(answer)


async def _serve(provider: Provider) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(lambda: _Connection(provider), "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)

    def read() -> None:
        for _line in sys.stdin:
            loop.call_soon_threadsafe(lambda: print(json.dumps(provider.counters()), flush=True))
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, name="orders", daemon=True).start()
    await ended.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer messages sent by HTTP.")
    parser.add_argument("--latency", type=float, default=0.2)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=load.new_loop) as runner:
        runner.run(_serve(Provider(options.latency)))


if __name__ == "__main__":
    main()
