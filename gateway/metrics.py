"""What this installation's API processes count, for Prometheus.

A request only leaves a note; a thread adds the notes up within a second. The sums are in files that all processes of
this machine share (prometheus-client's multiprocess mode), so that whichever of them is asked answers for all.
Counts survive restarts; those of processes that are gone are folded into one file a kind.
"""

import atexit
import bisect
import fcntl
import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings

# The library finds the folder by a variable that config.env has set.
from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from gateway import throttling

log = logging.getLogger(__name__)

# Upper bounds in seconds.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FLUSH_AFTER = 1.0
_KINDS = ("counter", "histogram")
# Bytes that a file has from the start: a page that the disk has no room for when it is written ends the process.
_ROOM = 1 << 20
# Names of processes in file names: what processes that are gone have left.
_GONE = "0"
# Seconds after which the folder of a machine that nobody asks any more is removed.
_FORGOTTEN = 86_400.0

# The library has no types for these.
_sums: Any = MultiProcessCollector.merge
_File: Any = MmapedDict

Note = tuple[str | None, str, int, float]

_requests = Counter(
    "trunkline_http_requests_total",
    "Requests to /v1.",
    ["method", "route", "status"],
    registry=None,
)
_seconds = Histogram(
    "trunkline_http_request_seconds",
    "Time until a request to /v1 was answered.",
    ["method", "route"],
    buckets=BUCKETS,
    registry=None,
)
_unchecked = Counter(
    "trunkline_rate_limit_failures_total",
    "Requests that went on without their rate being checked, because the store was away or slow.",
    ["store"],
    registry=None,
)


class _Notes:
    """What was observed and is not added up yet."""

    def __init__(self) -> None:
        self.waiting: deque[Note] = deque()
        self.due = False
        self.lock = threading.Lock()
        self.unchecked = 0
        self.prepared = False


_notes = _Notes()


def observe(*, method: str | None, route: str, status: int, seconds: float) -> None:
    """Count a request that was answered. ``route`` is the pattern of its path, of which there are few."""
    _notes.waiting.append((method, route, status, seconds))
    if not _notes.due:
        _notes.due = True
        timer = threading.Timer(_FLUSH_AFTER, flush)
        timer.daemon = True
        timer.start()


def flush() -> None:
    """Add up what was observed so far."""
    notes = _notes
    with notes.lock:
        # First: what is observed from now on starts a thread of its own.
        notes.due = False
        notes.prepared = notes.prepared or _prepare()
        if not notes.prepared:
            notes.waiting.clear()
            return
        _add(_drained(notes.waiting))
        failures = throttling.failures()
        if failures > notes.unchecked:
            _unchecked.labels("database").inc(failures - notes.unchecked)
        notes.unchecked = failures


def _prepare() -> bool:
    """Make this process's files; False when the disk has no room for them."""
    try:
        for kind in _KINDS:
            _make(settings.METRICS_FOLDER / f"{kind}_{os.getpid()}.db")
    except OSError as error:
        log.warning("metrics.no_room", extra={"reason": error.strerror})
        return False
    return True


def _make(path: Path) -> None:
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, _ROOM)


def _drained(waiting: deque[Note]) -> Iterator[Note]:
    for _ in range(len(waiting)):
        yield waiting.popleft()


def _add(notes: Iterable[Note]) -> None:
    counts: dict[tuple[str | None, str, int], int] = {}
    times: dict[tuple[str | None, str], list[float]] = {}
    for method, route, status, seconds in notes:
        counts[method, route, status] = counts.get((method, route, status), 0) + 1
        times.setdefault((method, route), []).append(seconds)
    for (method, route, status), count in counts.items():
        _requests.labels(_known(method), route, str(status)).inc(count)
    for (method, route), several in times.items():
        _observe(_seconds.labels(_known(method), route), several)


def _known(method: str | None) -> str:
    return method if method in _METHODS else "other"


def _observe(histogram: Any, seconds: list[float]) -> None:
    """``histogram.observe`` of each, at a price by bucket and not by number."""
    buckets: dict[int, int] = {}
    for each in seconds:
        place = bisect.bisect_left(BUCKETS, each)
        buckets[place] = buckets.get(place, 0) + 1
    histogram._sum.inc(sum(seconds))
    for place, count in buckets.items():
        histogram._buckets[place].inc(count)


def collect() -> list[Metric]:
    """The sums over all processes of this machine."""
    flush()
    with _alone():
        _fold()
        return list(_sums(_files(_KINDS)))


def _files(kinds: Iterable[str]) -> list[str]:
    return [str(path) for kind in kinds for path in sorted(settings.METRICS_FOLDER.glob(f"{kind}_*.db"))]


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time reads and folds."""
    with (settings.METRICS_FOLDER / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(lock.fileno())
        yield


def _fold() -> None:
    """Move what processes that are gone have left into one file a kind; remove what machines that are gone have."""
    for kind in _KINDS:
        gone = [path for path in _files([kind]) if not _lives(Path(path).stem.partition("_")[2])]
        if len(gone) > 1 or (gone and not gone[0].endswith(f"_{_GONE}.db")):
            _merge(kind, gone)
    for folder in settings.METRICS_FOLDER.parent.iterdir():
        if folder != settings.METRICS_FOLDER and time.time() - _last_asked(folder) > _FORGOTTEN:
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: str) -> bool:
    if process == _GONE or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _merge(kind: str, files: list[str]) -> None:
    kept = settings.METRICS_FOLDER / f"{kind}_{_GONE}.db"
    fresh = kept.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    _make(fresh)
    sums = _File(str(fresh))
    for metric in _sums(files, accumulate=False):
        for sample in metric.samples:
            names, values = list(sample.labels), list(sample.labels.values())
            key = mmap_key(metric.name, sample.name, names, values, metric.documentation)
            sums.write_value(key, sample.value, 0.0)
    sums.close()
    fresh.replace(kept)
    for file in files:
        if file != str(kept):
            Path(file).unlink()


def _last_asked(folder: Path) -> float:
    with suppress(OSError):
        return (folder / "lock").stat().st_mtime
    with suppress(OSError):
        return folder.stat().st_mtime
    return time.time()


def _begin_anew() -> None:
    """In a forked process: the notes and the thread are the parent's."""
    global _notes  # noqa: PLW0603 - the one instance of the process
    _notes = _Notes()


settings.METRICS_FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
os.register_at_fork(after_in_child=_begin_anew)
atexit.register(flush)
