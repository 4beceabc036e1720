"""What processes cost, read from /proc (Linux): CPU seconds and memory of whole process trees, and spreads."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

PROC = Path("/proc")
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/<pid>/stat. `cpu` is its own seconds and those of children that it has reaped."""

    pid: int
    parent: int
    cpu: float
    rss: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `rss` counts what processes share once for each of them, `pss` once in all.

    `pss` is None where the kernel does not tell it to this user.
    """

    rss: int
    pss: int | None


def read(pid: int) -> Process | None:
    """A process as it is now; None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold anything; proc_pid_stat(5) counts the state after it as field 3.
    fields = text.rpartition(b")")[2].split()
    cpu = sum(map(int, fields[11:15])) * TICK_SECONDS
    return Process(pid, int(fields[1]), cpu, int(fields[21]) * PAGE_BYTES)


def processes() -> dict[int, Process]:
    """All processes by id."""
    found = (read(int(entry)) for entry in os.listdir(PROC) if entry.isdigit())  # noqa: PTH208 - names suffice
    return {process.pid: process for process in found if process is not None}


def trees(roots: Mapping[str, int], everything: Mapping[int, Process]) -> dict[str, list[Process]]:
    """Each named process with all that descend from it, but for those under another named one."""
    children: dict[int, list[int]] = {}
    for process in everything.values():
        children.setdefault(process.parent, []).append(process.pid)
    return {name: _tree(root, set(roots.values()), everything, children) for name, root in roots.items()}


def _tree(
    root: int, roots: set[int], everything: Mapping[int, Process], children: Mapping[int, list[int]]
) -> list[Process]:
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        if pid in everything:
            found.append(everything[pid])
            waiting += [child for child in children.get(pid, ()) if child not in roots]
    return found


def pss(pid: int) -> int | None:
    """A process's proportional set size in bytes; None when it is gone or hidden from this user."""
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_bytes()
    except OSError:
        return None
    at = text.find(b"\nPss:")
    return int(text[at + 5 : text.index(b"kB", at)]) * 1024 if at >= 0 else None


def cpu(roots: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of each named tree."""
    return {name: sum(each.cpu for each in of) for name, of in trees(roots, processes()).items()}


def memory(roots: Mapping[str, int]) -> dict[str, Memory]:
    """Memory of each named tree."""
    return {name: _memory(of) for name, of in trees(roots, processes()).items()}


def _memory(of: Iterable[Process]) -> Memory:
    of = list(of)
    # A process that has just ended has no size, and says so by hiding it.
    shares = [share for share in (pss(each.pid) for each in of) if share is not None]
    return Memory(sum(each.rss for each in of), sum(shares) if shares or not of else None)


def total(of: Iterable[Memory]) -> Memory:
    """The sum; its `pss` is None when one of them is unknown."""
    of = list(of)
    shares = [each.pss for each in of]
    known = [share for share in shares if share is not None]
    return Memory(sum(each.rss for each in of), sum(known) if len(known) == len(shares) else None)


def larger(one: Memory, other: Memory) -> Memory:
    """The larger of each figure."""
    both = one.pss is not None and other.pss is not None
    return Memory(max(one.rss, other.rss), max(one.pss or 0, other.pss or 0) if both else None)


@dataclass
class Peaks:
    """The largest of what was sampled: for each tree, and of all trees at one moment."""

    each: dict[str, Memory] = field(default_factory=dict)
    together: Memory = Memory(0, 0)

    def add(self, sample: Mapping[str, Memory], counted: Callable[[str], bool]) -> None:
        for name, size in sample.items():
            self.each[name] = larger(self.each.get(name, size), size)
        self.together = larger(self.together, total(size for name, size in sample.items() if counted(name)))


class Window:
    """Between entering and leaving: CPU seconds of each tree, and their peak memory, sampled each second.

    Args:
        roots: names and process ids at the moment.
        counted: which of them the memory of the whole is the sum of.
    """

    def __init__(
        self, roots: Callable[[], Mapping[str, int]], *, counted: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._roots, self.counted = roots, counted
        self.cpu: dict[str, float] = {}
        self.peaks = Peaks()
        self._before: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._before = cpu(self._roots())
        self._thread.start()
        return self

    def close(self) -> None:
        """The end of what is measured; leaving closes too, later closings change nothing."""
        if self._over.is_set():
            return
        after = cpu(self._roots())
        self.cpu = {name: seconds - self._before.get(name, 0.0) for name, seconds in after.items()}
        self._over.set()
        self._thread.join()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _sample(self) -> None:
        while not self._over.wait(1.0):
            self.peaks.add(memory(self._roots()), self.counted)
        self.peaks.add(memory(self._roots()), self.counted)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the sorted values do not exceed (nearest rank); 0.0 of none."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, int(rank) - 1)]


def spread(seconds: Iterable[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50": round(1000 * percentile(ordered, 0.50), 2),
        "p99": round(1000 * percentile(ordered, 0.99), 2),
    }
