"""A small HTTP listener for callbacks: verifies Standard Webhooks signatures and answers 204.

`python -m deploy.listener --port P` is the receiver of the demo; `listen()` is the same inside another
program. `GET /` answers the counts as JSON. Secret: DEMO_WEBHOOK_SECRET, `whsec_` and base64.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import uvloop

# Standard Webhooks 1.0.0, "Verifying webhook authenticity": five minutes either way.
TOLERANCE_SECONDS = 300
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
LENGTH_REQUIRED = b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LONGEST_HEAD = 65536


@dataclass
class Received:
    """What has arrived.

    Attributes:
        verified, refused: callbacks with a right and a wrong signature.
        duplicates: verified callbacks whose id had arrived before.
        arrivals: the time (seconds since the epoch) of the first arrival by webhook-id; the oldest half is
            forgotten when there are more than `keep`, so a listener may run for ever.
        on_callback: called with (webhook-id, body, time) for each verified callback.
    """

    secret: bytes
    keep: int = 100_000
    on_callback: Callable[[str, bytes, float], None] | None = None
    verified: int = 0
    refused: int = 0
    duplicates: int = 0
    arrivals: dict[str, float] = field(default_factory=dict)

    def take(self, identifier: bytes, timestamp: bytes, signatures: bytes, body: bytes) -> bool:
        """Count one callback; whether its signature is right."""
        now = time.time()
        if not self._is_right(identifier, timestamp, signatures, body, now):
            self.refused += 1
            return False
        self.verified += 1
        name = identifier.decode("latin-1")
        if name in self.arrivals:
            self.duplicates += 1
        else:
            self._remember(name, now)
        if self.on_callback is not None:
            self.on_callback(name, body, now)
        return True

    def counts(self) -> dict[str, int]:
        return {"verified": self.verified, "refused": self.refused, "duplicates": self.duplicates}

    def _is_right(self, name: bytes, timestamp: bytes, signatures: bytes, body: bytes, now: float) -> bool:
        if not name or not timestamp.isdigit() or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
            return False
        digest = hmac.digest(self.secret, b"%b.%b.%b" % (name, timestamp, body), hashlib.sha256)
        right = b"v1," + base64.b64encode(digest)
        return any(hmac.compare_digest(right, given) for given in signatures.split())

    def _remember(self, name: str, now: float) -> None:
        self.arrivals[name] = now
        if len(self.arrivals) > self.keep:
            for old in list(self.arrivals)[: self.keep // 2]:
                del self.arrivals[old]


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and pipelining; bodies by Content-Length only."""

    def __init__(self, received: Received) -> None:
        self._received = received
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are transports by duck typing only.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        buffer = self._buffer + data if self._buffer else data
        answers = []
        while (head_end := buffer.find(b"\r\n\r\n")) >= 0:
            head, folded = buffer[: head_end + 2], buffer[: head_end + 2].lower()
            length = _value(head, folded, b"content-length")
            if b"\r\ntransfer-encoding:" in folded or not (length or b"0").isdigit():
                self._transport.write(LENGTH_REQUIRED)
                self._transport.close()
                return
            end = head_end + 4 + int(length or 0)
            if len(buffer) < end:
                break
            answers.append(self._answer(head, folded, buffer[head_end + 4 : end]))
            buffer = buffer[end:]
        self._buffer = buffer
        if answers:
            self._transport.write(b"".join(answers))
        if head_end < 0 and len(buffer) > LONGEST_HEAD:
            self._transport.close()

    def _answer(self, head: bytes, folded: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET "):
            counts = json.dumps(self._received.counts()).encode()
            kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            return kind + b"Content-Length: %d\r\n\r\n" % len(counts) + counts
        right = self._received.take(
            _value(head, folded, b"webhook-id"),
            _value(head, folded, b"webhook-timestamp"),
            _value(head, folded, b"webhook-signature"),
            body,
        )
        return NO_CONTENT if right else UNAUTHORIZED


def _value(head: bytes, folded: bytes, name: bytes) -> bytes:
    """The value of header `name` (lower case); empty when it is missing. `folded` is `head` in lower case."""
    at = folded.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    begin = at + len(name) + 3
    return head[begin : head.index(b"\r\n", begin)].strip()


def key(secret: str) -> bytes:
    """The signing key in a `whsec_…` secret; raises ValueError when it is not base64."""
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


async def listen(received: Received, *, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    """A listening server (port 0: one that is free, see its `sockets`); its counts are in `received`."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(received), host, port, backlog=1024)


async def _serve(received: Received, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await listen(received, host=host, port=port)
    print(f"Listening for callbacks on {host}:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()
    print(json.dumps(received.counts()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Receive callbacks and verify their signatures.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    try:
        secret = key(os.environ["DEMO_WEBHOOK_SECRET"])
    except (KeyError, ValueError):
        parser.error("DEMO_WEBHOOK_SECRET must be whsec_ and base64")
    uvloop.run(_serve(Received(secret), options.host, options.port))


if __name__ == "__main__":
    main()
