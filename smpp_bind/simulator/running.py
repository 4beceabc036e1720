"""Runs the simulator: in a thread for tests and benches, or as a whole process until it is told to end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import json
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

from smpp_bind.simulator import control
from smpp_bind.simulator.settings import Settings
from smpp_bind.simulator.smsc import Smsc

T = TypeVar("T")


def new_loop() -> asyncio.AbstractEventLoop:
    """The one of uvloop where that is installed."""
    try:
        import uvloop  # optional: not every platform has it
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class Running:
    """A simulator in a thread of its own; every method may be called from any thread. A context manager."""

    def __init__(self, settings: Settings) -> None:
        self._loop = new_loop()
        self._smsc = Smsc(settings=settings, loop=self._loop)
        self._thread = threading.Thread(target=self._loop.run_forever, name="smsc-simulator", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._smsc.start(), self._loop).result()
        except BaseException:
            self._end_loop()
            raise
        self.host = settings.host
        self.port = self._smsc.port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Unbinds clients, waits for them up to two seconds, closes; may be called twice."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._smsc.stop(), self._loop).result()
            self._end_loop()

    def stats(self) -> dict[str, Any]:
        return self._call(self._smsc.snapshot)

    def order(self, line: str) -> dict[str, Any]:
        """Carries out one order of `control`. Raises ValueError with what is wrong with it."""
        answer = self._call(lambda: control.execute(self._smsc, line))
        if not answer["ok"]:
            raise ValueError(answer["error"])
        return answer

    def inject_mo(self, sender: str, recipient: str, text: str) -> int:
        """Sends a text from a handset to a bound client; answers the number of its parts."""
        return self._call(lambda: self._smsc.inject_mo(sender, recipient, text))

    def close_connections(self) -> int:
        """Ends every connection in mid-PDU; answers how many."""
        return self._call(self._smsc.close_connections)

    def unbind(self) -> int:
        return self._call(self._smsc.unbind)

    def pause(self, seconds: float) -> None:
        """Silence with connections open; 0.001 ends a pause early."""
        self._call(lambda: self._smsc.pause(seconds))

    def refuse(self, seconds: float) -> None:
        """New connections are refused; open ones stay."""
        self._call(lambda: self._smsc.refuse(seconds))

    def _call(self, function: Callable[[], T]) -> T:
        done: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                done.set_result(function())
            except Exception as error:  # noqa: BLE001 - raised again where it was called from
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(timeout=30)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def start_in_thread(settings: Settings | None = None) -> Running:
    """Listens when it returns. Raises OSError when the port is taken."""
    return Running(settings or Settings())


def run(settings: Settings, *, write: Callable[[str], None] | None = None) -> None:
    """Runs until SIGINT or SIGTERM, then unbinds the clients and returns. `write` takes one line at a time
    and defaults to standard output. Raises OSError when a port is taken or a file cannot be opened.
    """
    # Sessions and settings live as long as the process; scanning young messages often finds nothing to free.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    loop = new_loop()
    try:
        loop.run_until_complete(_serve(settings, loop, write or _write_line))
    finally:
        loop.close()


async def _serve(settings: Settings, loop: asyncio.AbstractEventLoop, write: Callable[[str], None]) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    smsc = Smsc(settings=settings, loop=loop)
    await smsc.start()
    orders = await _listen_for_orders(settings, smsc, write)
    _announce(settings, smsc, write)
    control.read_standard_input(smsc=smsc, write=write)
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), settings.stats_every)
        if settings.stats_every:
            _tell(settings, smsc, write)
    if orders is not None:
        orders.close()
    await smsc.stop()


async def _listen_for_orders(
    settings: Settings, smsc: Smsc, write: Callable[[str], None]
) -> asyncio.Server | None:
    if settings.control_port is None:
        return None
    server = await smsc.loop.create_server(lambda: control.Lines(smsc), "127.0.0.1", settings.control_port)
    port = server.sockets[0].getsockname()[1]
    write(json.dumps({"controlPort": port}) if settings.json else f"Orders are taken on 127.0.0.1:{port}")
    return server


def _announce(settings: Settings, smsc: Smsc, write: Callable[[str], None]) -> None:
    ready = f"SMSC simulator listening on {settings.host}:{smsc.port}"
    if settings.json:
        ready = json.dumps({"message": ready, "host": settings.host, "port": smsc.port})
    write(ready)


def _tell(settings: Settings, smsc: Smsc, write: Callable[[str], None]) -> None:
    snapshot = smsc.snapshot()
    if settings.json:
        write(json.dumps(snapshot))
    else:
        write(" ".join(f"{name}={value}" for name, value in snapshot.items()))


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
