"""Writing by drops: a few octets at a time, so that a peer reads every PDU in pieces."""

from __future__ import annotations

import asyncio
from typing import Final

_EVERY: Final = 0.002


class Drops:
    """Writes what it is given in pieces of `size` octets, one every 2 ms."""

    def __init__(self, transport: asyncio.Transport, *, loop: asyncio.AbstractEventLoop, size: int) -> None:
        self._transport = transport
        self._loop = loop
        self._size = size
        self._rest = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def write(self, octets: bytes) -> None:
        self._rest += octets
        if self._timer is None:
            self._drop()

    def end(self) -> None:
        """Writes what is left at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._rest and not self._transport.is_closing():
            self._transport.write(bytes(self._rest))
        self._rest.clear()

    def _drop(self) -> None:
        self._timer = None
        if not self._rest or self._transport.is_closing():
            return
        self._transport.write(bytes(self._rest[: self._size]))
        del self._rest[: self._size]
        self._timer = self._loop.call_later(_EVERY, self._drop)
