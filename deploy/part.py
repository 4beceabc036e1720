"""A part of the running system: what to start, when it is ready, how it is stopped."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path


def always(_pid: int) -> bool:
    """The readiness of a part that needs no check."""
    return True


@dataclass(frozen=True)
class Part:
    """One process to keep running, or (`once`) a command to run to its end before others start.

    Attributes:
        name: also the name of its log file.
        command: argument vector, through `child.command`.
        environment: its whole environment.
        needs: parts that must be ready, or done, before it starts.
        ready: asked with the process id until it says yes; must answer within milliseconds.
        once: runs to its end; anything but exit code 0 ends the whole start.
        late: starts only when all others are ready and `announce` has been called.
        stdout: a file (replaced, mode 0600) that takes its output instead of the log; "-" is the terminal.
        stop_order: parts of a smaller number are stopped first.
        stop_signal, stop_seconds: how it is asked to stop, and after how long it is killed.
        start_seconds: not ready after so long, it is killed and started again.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    needs: tuple[str, ...] = ()
    ready: Callable[[int], bool] = always
    once: bool = False
    late: bool = False
    stdout: str | None = None
    stop_order: int = 0
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10.0
    start_seconds: float = 60.0


class Phase(Enum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DONE = "done"


# Seconds before the 1st, 2nd, … start after deaths in a row; one that lived long starts again at once.
DELAYS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
LONG_LIFE = 5.0


@dataclass
class Process:
    """A part's present process, and what its past ones came to. Times are monotonic seconds."""

    part: Part
    log: Path
    phase: Phase = Phase.WAITING
    pid: int = 0
    started_at: float = 0.0
    start_at: float = 0.0
    deaths_in_a_row: int = 0
    starts: int = 0
    was_ready: bool = field(default=False)

    @property
    def alive(self) -> bool:
        return self.pid != 0

    @property
    def settled(self) -> bool:
        """Ready, or done."""
        return self.phase in {Phase.READY, Phase.DONE}

    def start(self, now: float) -> None:
        """Start the part's command; its output is appended to the log."""
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(self.log), append, 0o600),
        ]
        if self.part.stdout is None:
            actions.append((os.POSIX_SPAWN_DUP2, 2, 1))
        elif self.part.stdout != "-":
            replace = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            actions.append((os.POSIX_SPAWN_OPEN, 1, self.part.stdout, replace, 0o600))
        command = self.part.command
        self.pid = os.posix_spawn(command[0], command, dict(self.part.environment), file_actions=actions)
        self.phase, self.started_at = Phase.STARTING, now
        self.starts += 1

    def ended(self, now: float, *, code: int) -> None:
        """Record that the process has ended with `code` (negative: the signal) and when to start the next."""
        self.pid = 0
        if self.part.once and code == 0:
            self.phase = Phase.DONE
            return
        long = self.phase is Phase.READY and now - self.started_at >= LONG_LIFE
        self.deaths_in_a_row = 1 if long else self.deaths_in_a_row + 1
        self.phase = Phase.WAITING
        self.start_at = now + DELAYS[min(self.deaths_in_a_row, len(DELAYS)) - 1]

    def signal(self, number: int) -> None:
        """Send `number` to the process; SIGKILL goes to its whole group."""
        if not self.alive:
            return
        try:
            if number == signal.SIGKILL:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            # Not a group leader yet: killed between its start and setsid().
            if number == signal.SIGKILL:
                os.kill(self.pid, number)
