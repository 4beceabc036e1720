"""The thread on which a process talks to its HTTP operators: one asyncio loop for all of them."""

import asyncio
import threading
from typing import ClassVar

try:
    from uvloop import new_event_loop
except ImportError:  # not built for every platform
    from asyncio import new_event_loop


class LoopThread:
    """The process's, started with the first operator and kept."""

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _kept: "ClassVar[LoopThread | None]" = None

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name="http operators", daemon=True)
        self._thread.start()

    @classmethod
    def get(cls) -> asyncio.AbstractEventLoop:
        with cls._lock:
            if cls._kept is None or not cls._kept._thread.is_alive():
                cls._kept = cls()
            return cls._kept.loop

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
