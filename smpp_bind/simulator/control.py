"""Orders to a running simulator, one a line, each answered with one line of JSON.

    mo FROM TO TEXT   a text from a handset          close      end every connection in mid-PDU
    pause SECONDS     silence, connections open      unbind     ask every client to go
    refuse SECONDS    no new connections             stats      the counters

An order that fails is answered `{"ok": false, "error": ...}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from typing import Any, Final, cast

from smpp_bind import errors
from smpp_bind.simulator.smsc import Smsc

_LONGEST_LINE: Final = 65_536


def execute(smsc: Smsc, line: str) -> dict[str, Any]:
    """Carries out one line. Never raises for what the line says."""
    word, _, rest = line.strip().partition(" ")
    order = _ORDERS.get(word.lower())
    if order is None:
        return {"ok": False, "error": f"Unknown order {word!r}; there are {', '.join(_ORDERS)}."}
    try:
        return {"ok": True, **order(smsc, rest.strip())}
    except (ValueError, errors.SmppError) as error:
        return {"ok": False, "error": str(error)}


def _mo(smsc: Smsc, rest: str) -> dict[str, Any]:
    words = rest.split(" ", 2)
    if len(words) < 3:
        raise ValueError("Give mo FROM TO TEXT.")
    return {"parts": smsc.inject_mo(words[0], words[1], words[2])}


def _seconds(rest: str) -> float:
    try:
        seconds = float(rest)
    except ValueError:
        raise ValueError(f"Give a number of seconds, not {rest!r}.") from None
    if not 0 < seconds <= 86_400:
        raise ValueError("Give more than 0 and at most 86400 seconds.")
    return seconds


def _pause(smsc: Smsc, rest: str) -> dict[str, Any]:
    smsc.pause(_seconds(rest))
    return {}


def _refuse(smsc: Smsc, rest: str) -> dict[str, Any]:
    smsc.refuse(_seconds(rest))
    return {}


_ORDERS: Final[dict[str, Callable[[Smsc, str], dict[str, Any]]]] = {
    "mo": _mo,
    "pause": _pause,
    "refuse": _refuse,
    "close": lambda smsc, _: {"connections": smsc.close_connections()},
    "unbind": lambda smsc, _: {"connections": smsc.unbind()},
    "stats": lambda smsc, _: smsc.snapshot(),
}


class Lines(asyncio.Protocol):
    """One connection to the control port."""

    def __init__(self, smsc: Smsc) -> None:
        self._smsc = smsc
        self._rest = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                answer = execute(self._smsc, line.decode(errors="replace"))
                self._transport.write(json.dumps(answer).encode() + b"\n")
        if len(self._rest) > _LONGEST_LINE:
            self._transport.abort()


def read_standard_input(*, smsc: Smsc, write: Callable[[str], None]) -> None:
    """Takes orders from standard input until its end, from a thread, since a file cannot be polled.

    Nothing is read from a terminal of which this is not the foreground process: that would stop the process.
    """
    if os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp():
        return
    threading.Thread(target=_read_lines, args=(smsc, write), name="simulator-orders", daemon=True).start()


def _read_lines(smsc: Smsc, write: Callable[[str], None]) -> None:
    # os.read and not sys.stdin, whose lock, held by a waiting thread, breaks the interpreter's shutdown.
    rest = b""
    while chunk := _read_chunk():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip() and not smsc.loop.is_closed():
                smsc.loop.call_soon_threadsafe(_answer, smsc, line.decode(errors="replace"), write)


def _answer(smsc: Smsc, line: str, write: Callable[[str], None]) -> None:
    write(json.dumps(execute(smsc, line)))


def _read_chunk() -> bytes:
    try:
        return os.read(0, _LONGEST_LINE)
    except OSError:
        return b""
