"""A real HTTP/1.1 server on loopback whose every answer a test writes, byte by byte if it likes.

``answer`` is called with each :class:`Request` and gives what to do, in order: bytes are written, numbers are
seconds to wait, ``CLOSE`` ends the connection. After the last step the connection stays open for the next request.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

CLOSE = object()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Step = bytes | float | object
Answer = Callable[["Request"], Iterable[Step]]


def status(code: int, *, headers: str = "", body: bytes = b"") -> bytes:
    """A whole answer; ``headers`` are lines without the last CRLF."""
    head = f"HTTP/1.1 {code} X\r\n" + (f"{headers}\r\n" if headers else "")
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float = field(default_factory=time.monotonic)


class Listener:
    """Use as a context manager; requests are in ``requests`` as they came."""

    def __init__(
        self,
        answer: Answer = lambda _request: [OK],
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self.busy = 0
        self.most_busy = 0
        self._tls = tls
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def url(self, path: str = "/hook") -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}{path}"

    def wait_for(self, count: int, *, seconds: float = 5.0) -> list[Request]:
        """The requests, once there are so many."""
        until = time.monotonic() + seconds
        while len(self.requests) < count and time.monotonic() < until:
            time.sleep(0.005)
        assert len(self.requests) >= count, f"{len(self.requests)} of {count} requests came"
        return list(self.requests)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        self._loop.run_until_complete(self._hang_up())
        self._loop.close()

    async def _hang_up(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # One more turn, for the transports to close.
        await asyncio.sleep(0.01)

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._converse, self._host, 0, ssl=self._tls, backlog=1000)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                request = await self._read(reader, number)
                self.busy += 1
                self.most_busy = max(self.most_busy, self.busy)
                try:
                    self.requests.append(request)
                    if not await self._play(writer, self.answer(request)):
                        break
                finally:
                    self.busy -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("utf-8").split("\r\n")
        method, target, _version = head[0].split(" ")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(headers["content-length"]))
        return Request(method, target, headers, body, number)

    async def _play(self, writer: asyncio.StreamWriter, steps: Iterable[Step]) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif step is CLOSE:
                return False
            else:
                await asyncio.sleep(float(step))  # type: ignore[arg-type]
        return True


def closed_port() -> int:
    """A port of loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
