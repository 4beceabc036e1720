"""Starts parts in order, starts again any that dies, and leaves nothing behind.

One thread, no threads for waiting: children are reaped on SIGCHLD. On Linux the supervisor adopts the
children of its dead children (PR_SET_CHILD_SUBREAPER), so that workers that outlive a killed part are found
and killed; and each part dies with the supervisor (see `child`).
"""

import contextlib
import os
import selectors
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from deploy import child
from deploy.part import Part, Phase, Process

PR_SET_CHILD_SUBREAPER = 36
LOG_BYTES = 8 * 1024 * 1024
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_SECONDS = 0.05
CARE_SECONDS = 1.0
# A part that has never been ready and died so often will not get better by itself.
HOPELESS = 4


def _ignore(_text: str) -> None:
    """Says nothing."""


def _nothing(*_: object) -> None:
    """Does nothing."""


class Supervisor:
    """Runs `parts` until a signal, or until one of them proves unable to start.

    Args:
        parts: in the order in which they are started, as far as their needs allow.
        logs: folder of the parts' logs; each is kept below 8 MiB, with one predecessor `<part>.log.1`.
        changed: called with {part: process id} whenever that changes.
        announce: called once, when all parts that are not `late` are ready.
        say: takes lines for the person at the terminal.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        logs: Path,
        changed: Callable[[dict[str, int]], None] = _nothing,
        announce: Callable[[], None] = _nothing,
        say: Callable[[str], None] = _ignore,
    ) -> None:
        self._processes = [Process(part, logs / f"{part.name}.log") for part in parts]
        self._changed, self._announce, self._say = changed, announce, say
        self._announced = False
        self._failed = False
        self._stops = 0
        self._care_at = 0.0

    def run(self) -> int:
        """Supervise until told to stop; the exit code: 0 after a signal, 1 when a part could not start."""
        if sys.platform == "linux":
            child.prctl(PR_SET_CHILD_SUBREAPER, 1)
        with self._signals() as wait:
            try:
                while not self._stops and not self._failed:
                    self._turn(time.monotonic())
                    wait(self._pause(time.monotonic()))
            finally:
                self._stop(wait)
        return 1 if self._failed else 0

    @contextlib.contextmanager
    def _signals(self) -> Iterator[Callable[[float], None]]:
        """Catch the stop signals and SIGCHLD; gives a sleep that any of them cuts short."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        previous_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        previous = {number: signal.signal(number, self._told) for number in STOP_SIGNALS}
        previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _nothing)

        def wait(seconds: float) -> None:
            if selector.select(seconds):
                os.read(reader, 4096)

        with selectors.DefaultSelector() as selector:
            selector.register(reader, selectors.EVENT_READ)
            try:
                yield wait
            finally:
                for number, action in previous.items():
                    signal.signal(number, action)
                signal.set_wakeup_fd(previous_fd)
                os.close(reader)
                os.close(writer)

    def _told(self, number: int, _frame: FrameType | None) -> None:
        self._stops += 1

    def _turn(self, now: float) -> None:
        """One look at everything: reap, start what is due, ask what is starting."""
        for process, code in self._reaped():
            self._died(process, code, now)
        if self._failed:
            return
        for process in self._processes:
            if self._is_due(process, now):
                process.start(now)
                self._tell()
            elif process.phase is Phase.STARTING:
                self._ask(process, now)
        if not self._announced and all(p.settled for p in self._processes if not p.part.late):
            self._announced = True
            self._announce()
        if now >= self._care_at:
            self._care_at = now + CARE_SECONDS
            for process in self._processes:
                _rotate(process.log)

    def _is_due(self, process: Process, now: float) -> bool:
        if process.phase is not Phase.WAITING or now < process.start_at:
            return False
        if process.part.late and not self._announced:
            return False
        settled = {other.part.name for other in self._processes if other.settled}
        # After its first start a part no longer waits for others: they may be restarting at this moment.
        return process.starts > 0 or settled.issuperset(process.part.needs)

    def _ask(self, process: Process, now: float) -> None:
        if process.part.once:
            return
        if process.part.ready(process.pid):
            process.phase, process.was_ready = Phase.READY, True
        elif now - process.started_at > process.part.start_seconds:
            self._say(
                f"{process.part.name} is not ready in {process.part.start_seconds:.0f} s, starting it again"
            )
            process.signal(signal.SIGKILL)

    def _died(self, process: Process, code: int, now: float) -> None:
        part = process.part
        process.ended(now, code=code)
        self._tell()
        if process.phase is Phase.DONE:
            return
        ending = f"signal {-code}" if code < 0 else f"exit code {code}"
        if part.once or (not process.was_ready and process.deaths_in_a_row >= HOPELESS):
            self._failed = True
            self._say(f"{part.name} failed ({ending}); the end of {process.log}:\n{_tail(process.log)}")
        else:
            self._say(f"{part.name} ended ({ending}), starting it again")

    def _reaped(self) -> list[tuple[Process, int]]:
        """The parts that have ended, with their exit codes; what they left behind is killed."""
        ended = []
        by_pid = {process.pid: process for process in self._processes if process.alive}
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid in by_pid:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(pid, signal.SIGKILL)
                    ended.append((by_pid[pid], os.waitstatus_to_exitcode(status)))
        if ended:
            self._kill_adopted({process.pid for process, _ in ended})
        return ended

    def _kill_adopted(self, ended: set[int]) -> None:
        """Kill children that are no parts: they belonged to a part that has ended."""
        known = {process.pid for process in self._processes} - ended
        for pid in _children():
            if pid not in known:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _pause(self, now: float) -> float:
        if any(self._is_due(process, now) for process in self._processes):
            return 0.0
        if any(process.phase is Phase.STARTING for process in self._processes):
            return POLL_SECONDS
        due = [p.start_at for p in self._processes if p.phase is Phase.WAITING and p.start_at > now]
        return max(0.0, min([self._care_at, *due]) - now)

    def _tell(self) -> None:
        self._changed({process.part.name: process.pid for process in self._processes if process.alive})

    def _stop(self, wait: Callable[[float], None]) -> None:
        """Stop all parts by their stop order, then wait for the last orphan."""
        for order in sorted({process.part.stop_order for process in self._processes}):
            self._stop_group([p for p in self._processes if p.part.stop_order == order], wait)
        deadline = time.monotonic() + 5.0
        while _children() and time.monotonic() < deadline:
            self._kill_adopted(set())
            self._reaped()
            wait(POLL_SECONDS)
        self._tell()

    def _stop_group(self, group: list[Process], wait: Callable[[float], None]) -> None:
        """Ask, wait, kill. Each further stop signal from outside cuts the waiting short."""
        patience, began = max(self._stops, 1), time.monotonic()
        for process in group:
            process.signal(process.part.stop_signal)
        while any(process.alive for process in group):
            for process, code in self._reaped():
                process.ended(time.monotonic(), code=code)
            waited = time.monotonic() - began
            for process in group:
                if process.alive and (waited > process.part.stop_seconds or self._stops > patience):
                    self._say(f"{process.part.name} does not stop, killing it")
                    process.signal(signal.SIGKILL)
            wait(POLL_SECONDS)


def _children() -> list[int]:
    """Process ids of this process's children; empty where there is no /proc."""
    found = []
    me = str(os.getpid()).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            if fields[1] == me:
                found.append(int(entry.name))
    return found


def _rotate(log: Path) -> None:
    """Copy a log that has grown too large and empty it; writers append, so they go on at its start."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            shutil.copy2(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


def _tail(log: Path, lines: int = 25) -> str:
    with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    return "(no log)"
