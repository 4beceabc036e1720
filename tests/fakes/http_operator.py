"""An HTTP operator on loopback: takes messages as JSON, gives each an id, and misbehaves as a test wants."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

from tests.fakes.http_listener import Listener, Request, Step, status

Play = Callable[[Request, int], Iterable[Step]]


def accept(request: Request, number: int) -> Iterable[Step]:
    return [status(200, headers="Content-Type: application/json", body=taken(number))]


def taken(number: int) -> bytes:
    return json.dumps({"status": "ok", "messages": [{"id": f"M{number}"}]}).encode()


def after(seconds: float) -> Play:
    """Accepts so much later."""
    return lambda request, number: [seconds, *accept(request, number)]


class HttpOperator(Listener):
    """``play`` is asked for each request, with its number from 1; it may be changed at any time.

    ``port`` is where it listens; 0 is any that is free.
    """

    def __init__(self, play: Play = accept, *, port: int = 0) -> None:
        super().__init__(self._answer)
        self.play = play
        self._wanted = port
        self._numbers = itertools.count(1)

    def _answer(self, request: Request) -> Iterable[Step]:
        return self.play(request, next(self._numbers))

    def bodies(self) -> list[Any]:
        return [json.loads(request.body) for request in self.requests]

    def account(self, **settings: Any) -> dict[str, Any]:
        """An operator's settings that reach it."""
        return {
            "url": self.url("/send"),
            "body": {"to": "{{to}}", "from": "{{from}}", "text": "{{text}}", "ref": "{{messageId}}"},
            "success_path": "status",
            "success_equals": "ok",
            "id_path": "messages.*.id",
            "code_path": "code",
            "timeout": 5,
        } | settings

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._converse, self._host, self._wanted, backlog=1000)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _version = head[0].split(" ")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(method, target, headers, body, number)
