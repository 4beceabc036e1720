"""The embedded broker: kombu's filesystem transport, mended where its own would lose or break messages.

kombu 5.7 writes a message in place, so a reader can move away a file that is still empty and fail on it; it lists
the whole folder for each queue; and it moves what it reads to the system's temporary folder, a copy where that is
another file system. Here a message appears by rename, is claimed by rename, and each queue has its own folder.

The broker may still lose what a killed worker had taken: rows and leases are the truth, tasks only a hint.
"""

import itertools
import os
import time
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

_SPOOL = ".spool"


class Channel(filesystem.Channel):
    """A queue is a folder; a message is a file whose name sorts by the moment it came."""

    # The pid tells two publishers' names apart, the counter two messages of one.
    _count = itertools.count()

    def _folder(self, queue: str) -> Path:
        folder = Path(self.data_folder_in) / queue
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:  # type: ignore[override]
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._count)}"
        folder = self._folder(queue)
        spool = folder / f"{_SPOOL}{name}"
        spool.write_bytes(dumps(message).encode())
        spool.rename(folder / name)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        folder = self._folder(queue)
        for name in sorted(self._names(queue)):
            claimed = folder / f"{_SPOOL}{os.getpid()}-{name}"
            try:
                (folder / name).rename(claimed)
            except FileNotFoundError:
                continue
            payload = claimed.read_bytes()
            claimed.unlink()
            return loads(payload)
        raise Empty

    def _names(self, queue: str) -> list[str]:
        return [entry for entry in os.listdir(self._folder(queue)) if not entry.startswith(".")]  # noqa: PTH208 - ten times cheaper than paths, 200 times a second

    def _size(self, queue: str) -> int:
        return len(self._names(queue))

    def _purge(self, queue: str) -> int:
        names = self._names(queue)
        for name in names:
            (self._folder(queue) / name).unlink(missing_ok=True)
        return len(names)


class Transport(filesystem.Transport):
    """What ``filesystem://`` means once this module is imported."""

    Channel = Channel


# Celery's command line takes BROKER_URL over every setting, and a URL may name only an alias.
TRANSPORT_ALIASES["filesystem"] = "config.broker:Transport"
