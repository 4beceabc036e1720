"""Which messages were accepted, and which of them twice."""

from __future__ import annotations

import asyncio
import time
from hashlib import blake2b
from pathlib import Path

from smpp_bind.simulator.settings import Settings
from smpp_bind.simulator.submits import Submit


class Record:
    """Counts accepted submits by (source, destination, message), and appends a line for each to a file:

        seconds since 1970, system_id, destination, message id, digest

    separated by tabs and written within 100 ms; the digest is of (source, destination, message) in 16 hex
    digits.
    """

    def __init__(self, *, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.wanted = bool(settings.record or settings.count_duplicates)
        self.duplicates = 0
        self._seen: set[bytes] = set()
        self._loop = loop
        # Closed by `close`; unbuffered, because lines are gathered here.
        self._file = Path(settings.record).open("ab", 0) if settings.record else None  # noqa: SIM115
        self._lines: list[bytes] = []

    @property
    def distinct(self) -> int:
        return len(self._seen)

    def add(self, *, system_id: bytes, submit: Submit, message_id: bytes) -> None:
        digest = blake2b(submit.source + submit.destination + submit.message, digest_size=8).digest()
        if digest in self._seen:
            self.duplicates += 1
        else:
            self._seen.add(digest)
        if self._file is not None:
            if not self._lines:
                self._loop.call_later(0.1, self._flush)
            self._lines.append(
                b"%.3f\t%b\t%b\t%b\t%b\n"
                % (time.time(), system_id, submit.recipient, message_id, digest.hex().encode())
            )

    def close(self) -> None:
        if self._file is not None:
            self._flush()
            self._file.close()
            self._file = None

    def _flush(self) -> None:
        if self._file is not None and self._lines:
            self._file.write(b"".join(self._lines))
            self._lines.clear()
