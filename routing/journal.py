"""Acceptances that are not in the database yet, on local disk.

Between an operator's answer and the commit that stores it lie some milliseconds and, under load, a hundred
messages. A worker killed there would send them all again. So each batch of acceptances is appended to a file first,
one write a batch: what is written outlives the process (not the machine). The next worker on the machine replays
the files of dead ones before it opens its binds, and what remains unknown is what the operator had not answered: at
most a window a bind.

A page is a file of JSON lines, held by a lock while its worker lives, and removed once all of it is stored.
"""

import fcntl
import itertools
import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import msgspec
import structlog

from routing.contract import Outcome, Verdict

log = structlog.get_logger(__name__)

PAGE_BYTES = 1 << 20


class Entry(msgspec.Struct, array_like=True):
    """One acceptance as it is kept."""

    worker: str
    operator_id: int
    delivery_id: UUID
    message_id: UUID
    occurred_at: datetime
    remote_ids: tuple[str, ...]

    def outcome(self) -> Outcome:
        return Outcome(self.delivery_id, self.message_id, Verdict.ACCEPTED, self.occurred_at, self.remote_ids)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


class Page:
    """A file being written, or waiting for its last entries to be stored."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.open = True
        self._waiting = 0
        self._lock = threading.Lock()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, lines: bytes, count: int) -> None:
        with self._lock:
            self._waiting += count
        os.write(self._descriptor, lines)
        self.size += len(lines)

    def stored(self, count: int) -> None:
        """So many of its entries are in the database."""
        with self._lock:
            self._waiting -= count
            self._drop_if_done()

    def turn(self) -> None:
        """Nothing more is appended."""
        with self._lock:
            self.open = False
            self._drop_if_done()

    def _drop_if_done(self) -> None:
        if self._waiting == 0 and not self.open and self._descriptor >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1


class Journal:
    """One worker's pages. ``append`` may be called from any thread."""

    def __init__(self, *, folder: Path, worker: str) -> None:
        self._folder = folder
        self._worker = worker
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._page = self._fresh()

    def append(self, *, operator_id: int, outcomes: Sequence[Outcome]) -> tuple[Page, int]:
        """Keep the acceptances among the outcomes; tell the page when they are stored, and how many."""
        entries = [
            Entry(
                self._worker,
                operator_id,
                outcome.delivery_id,
                outcome.message_id,
                outcome.occurred_at,
                outcome.remote_ids,
            )
            for outcome in outcomes
            if outcome.verdict is Verdict.ACCEPTED
        ]
        with self._lock:
            if self._page.size > PAGE_BYTES:
                self._page.turn()
                self._page = self._fresh()
            self._page.append(_encoder.encode_lines(entries), len(entries))
            return self._page, len(entries)

    def close(self) -> None:
        with self._lock:
            self._page.turn()

    def _fresh(self) -> Page:
        name = f"{self._worker.replace(os.sep, '_').replace(':', '-')}-{next(self._numbers)}.jsonl"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Page(self._folder / name)


def left_behind(folder: Path) -> Iterator[tuple[Path, dict[tuple[int, str], list[Outcome]]]]:
    """The pages of workers that are dead, with their acceptances by operator id and worker.

    Each stays locked while it is being looked at, so that two starting workers do not replay the same one; the
    caller removes it when all of it is stored.
    """
    for path in sorted(folder.glob("*.jsonl")):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path, _read(path)
        except BlockingIOError:
            continue  # its worker lives
        finally:
            os.close(descriptor)


def _read(path: Path) -> dict[tuple[int, str], list[Outcome]]:
    found: dict[tuple[int, str], list[Outcome]] = defaultdict(list)
    for line in path.read_bytes().splitlines():
        try:
            entry = _decoder.decode(line)
        except msgspec.DecodeError:
            log.warning("journal.torn_line", page=path.name)  # the kill came in mid-write
            continue
        found[entry.operator_id, entry.worker].append(entry.outcome())
    return found
