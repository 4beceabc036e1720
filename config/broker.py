"""The embedded broker: kombu's filesystem transport, mended where its own would lose or break messages.

kombu 5.7 writes a message in place, so a reader can move away a file that is still empty and fail on it; it lists
the whole folder for each queue; and it moves what it reads to the system's temporary folder, a copy where that is
another file system. Here a message appears by rename, is claimed by rename, and each queue has its own folder.

The broker may still lose what a killed worker had taken: rows and leases are the truth, tasks only a hint.
"""

import os
import time
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

# The pid tells two publishers apart, the counter two messages of one.
_SPOOL = ".spool"


class Channel(filesystem.Channel):
    """A queue is a folder; a message is a file whose name sorts by the moment it came."""

    _count = 0

    def _folder(self, queue: str) -> Path:
        folder = Path(self.data_folder_in) / queue
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:
        Channel._count += 1
        name = f"{time.time_ns():020d}-{os.getpid()}-{Channel._count}"
        folder = self._folder(queue)
        spool = folder / f"{_SPOOL}{name}"
        spool.write_bytes(dumps(payload).encode())
        spool.rename(folder / name)

    def _get(self, queue: str) -> Any:
        folder = self._folder(queue)
        for name in sorted(entry for entry in os.listdir(folder) if not entry.startswith(".")):
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
        return [entry for entry in os.listdir(self._folder(queue)) if not entry.startswith(".")]

    def _size(self, queue: str) -> int:
        return len(self._names(queue))

    def _purge(self, queue: str) -> int:
        names = self._names(queue)
        for name in names:
            (self._folder(queue) / name).unlink(missing_ok=True)
        return len(names)


class Transport(filesystem.Transport):
    """``broker_url = "config.broker:Transport://"``."""

    Channel = Channel
