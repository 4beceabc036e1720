"""Orders to a running simulator, one a line, each answered with one line of JSON; `help` lists them.

An order that fails is answered `{"ok": false, "error": ...}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from smpp_bind import errors, pdu
from smpp_bind.simulator import reading, unasked
from smpp_bind.simulator.smsc import Smsc

_LONGEST_LINE: Final = 262_144


class Order(NamedTuple):
    """`form` names what follows the order's word."""

    do: Callable[[Smsc, str], dict[str, Any]]
    form: str
    help: str


def execute(smsc: Smsc, line: str) -> dict[str, Any]:
    """Carries out one line. Never raises for what the line says."""
    word, _, rest = line.strip().partition(" ")
    order = ORDERS.get(word.lower())
    if order is None:
        return {"ok": False, "error": f"Unknown order {word!r}; there are {', '.join(ORDERS)}."}
    if rest.strip() and not order.form:
        return {"ok": False, "error": f"{word} takes nothing more."}
    try:
        return {"ok": True, **order.do(smsc, rest.strip())}
    except (ValueError, errors.SmppError) as error:
        return {"ok": False, "error": str(error)}


def _mo(smsc: Smsc, rest: str) -> dict[str, Any]:
    words = rest.split(" ", 2)
    if len(words) < 2:
        raise ValueError("Give mo FROM TO TEXT.")
    return {"parts": smsc.inject_mo(words[0], words[1], "".join(words[2:]))}


def _mo_as(smsc: Smsc, rest: str) -> dict[str, Any]:
    words = rest.split(" ", 3)
    if len(words) < 3:
        raise ValueError("Give mo-as WORDS FROM TO TEXT.")
    return {"parts": smsc.inject_mo(words[1], words[2], "".join(words[3:]), words=words[0])}


def _mo_raw(smsc: Smsc, rest: str) -> dict[str, Any]:
    return {"parts": smsc.deliver(pdu.DELIVER_SM, [bytes.fromhex(rest)])}


def _raw(smsc: Smsc, rest: str) -> dict[str, Any]:
    return {"connections": smsc.send(bytes.fromhex(rest))}


def _outbind(smsc: Smsc, rest: str) -> dict[str, Any]:
    host, _, port = rest.partition(" ")
    number = reading.count(port, option="outbind HOST PORT")
    if number > 65_535:
        raise ValueError(f"outbind HOST PORT: {port} is no port.")
    smsc.outbind(host, number)
    return {}


def _pause(smsc: Smsc, rest: str) -> dict[str, Any]:
    smsc.pause(reading.seconds(rest, option="pause"))
    return {}


def _refuse(smsc: Smsc, rest: str) -> dict[str, Any]:
    smsc.refuse(reading.seconds(rest, option="refuse"))
    return {}


def _throttle(smsc: Smsc, rest: str) -> dict[str, Any]:
    reading.seconds(rest, option="throttle")
    smsc.acceptance.faults.add(f"refuse:ESME_RTHROTTLED@for={rest}")
    return {}


def _fault(smsc: Smsc, rest: str) -> dict[str, Any]:
    smsc.acceptance.faults.add(rest)
    return {}


def _action(name: str) -> Callable[[Smsc, str], dict[str, Any]]:
    return lambda smsc, _: {"connections": smsc.act(name)}


def _help(smsc: Smsc, rest: str) -> dict[str, Any]:
    return {"orders": {f"{word} {order.form}".strip(): order.help for word, order in ORDERS.items()}}


ORDERS: Final[dict[str, Order]] = {
    "mo": Order(_mo, "FROM TO TEXT", "a text from a handset, in the format of the options"),
    "mo-as": Order(_mo_as, "WORDS FROM TO TEXT", "the same in the format of these words of --mo-format"),
    "mo-raw": Order(_mo_raw, "HEX", "a deliver_sm with this body"),
    "raw": Order(_raw, "HEX", "these octets on every bound connection"),
    **{
        name: Order(_action(name), "", f"on every bound connection: {action.help}")
        for name, action in unasked.ACTIONS.items()
    },
    "close": Order(
        lambda smsc, _: {"connections": smsc.close_connections()}, "", "ends every connection in mid-PDU"
    ),
    "unbind": Order(lambda smsc, _: {"connections": smsc.unbind()}, "", "asks every client to go"),
    "outbind": Order(_outbind, "HOST PORT", "connects to a client that listens and asks it to bind"),
    "fault": Order(_fault, "FAULT", "sets a fault, as --fault does"),
    "clear": Order(lambda smsc, _: {"faults": smsc.acceptance.faults.clear()}, "", "ends all faults"),
    "throttle": Order(_throttle, "SECONDS", "submits are answered ESME_RTHROTTLED"),
    "pause": Order(_pause, "SECONDS", "silence, connections open"),
    "refuse": Order(_refuse, "SECONDS", "no new connections"),
    "stats": Order(lambda smsc, _: smsc.snapshot(), "", "the counters"),
    "help": Order(_help, "", "this"),
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
