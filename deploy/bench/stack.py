"""A stack as `make run` starts it, in a data folder of its own and without the demo; and its database."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psycopg

from deploy import files, home, parts

START_SECONDS = 60.0
STOP_SECONDS = 45.0
# What belongs to the caller's own stack; BROKER_URL is given by option only.
NOT_OURS = (
    "DATABASE_URL",
    "BROKER_URL",
    "SECRET_KEY",
    "ENCRYPTION_KEYS",
    "FINGERPRINT_KEY",
    "TRUNKLINE_ROLE",
)
ANNOUNCED = "Trunkline runs"


class StackError(Exception):
    """The stack did not start, or a command failed; the text has the end of its output."""


class Stack:
    """Running from entering to leaving; its data folder is removed then, unless `keep`."""

    def __init__(self, *, broker: str | None = None, under: Path | None = None, keep: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-", dir=under))
        # PostgreSQL may run as another user, who must be able to pass.
        self.folder.chmod(0o711)
        self.port = home.free_port()
        self._keep = keep
        self._extra: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        self.environment |= {"TRUNKLINE_HOME": str(self.folder), "PORT": str(self.port), "DEMO": "0"}
        if broker is not None:
            self.environment["BROKER_URL"] = broker

    def __enter__(self) -> Self:
        self._output = (self.folder / "run.log").open("ab")
        self._run = subprocess.Popen(
            [sys.executable, "-m", "deploy.run"],
            cwd=home.CHECKOUT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            # Ctrl-C is for the bench, which stops the stack itself.
            start_new_session=True,
        )
        try:
            self._await_start()
            self.database = psycopg.connect(self._state()["database_url"], autocommit=True)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.database.close()
        self._stop()

    def _await_start(self) -> None:
        log = self.folder / "run.log"
        deadline = time.monotonic() + START_SECONDS
        while ANNOUNCED not in log.read_text(errors="replace"):
            if self._run.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"The stack did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)

    def _stop(self) -> None:
        for name in list(self._extra):
            self.end_worker(name)
        self._run.send_signal(signal.SIGTERM)
        try:
            self._run.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._run.kill()
            self._run.wait()
        self._output.close()
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _state(self) -> dict[str, Any]:
        return files.read_json(self.folder / "state.json")

    def pids(self) -> dict[str, int]:
        """The process of each part, the supervisor's own and additional workers' among them."""
        extra = {name: process.pid for name, process in self._extra.items()}
        return {**self._state().get("pids", {}), **extra, "supervisor": self._run.pid}

    def restarts(self) -> list[str]:
        """What the supervisor said of parts that died."""
        lines = (self.folder / "run.log").read_text(errors="replace").splitlines()
        return [line for line in lines if "starting it again" in line]

    def add_worker(self, name: str, *, queue: str = "operators") -> None:
        """One more worker of the operators' queues, or of one of them, beside the supervised one."""
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self._extra[name] = subprocess.Popen(
                [sys.executable, *parts.CELERY, "-Q", queue, "-n", f"{name}@%h", *parts.QUIET],
                cwd=home.CHECKOUT,
                env={**self.environment, "TRUNKLINE_ROLE": name, "MALLOC_ARENA_MAX": "2"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end_worker(self, name: str) -> None:
        process = self._extra.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill_worker(self, name: str) -> None:
        """End an additional worker as a machine that fails does."""
        process = self._extra.pop(name)
        process.kill()
        process.wait()

    def commands(self, *commands: Sequence[str]) -> list[dict[str, Any]]:
        """Run management commands, one after the other in one process; what each printed as JSON.

        Raises:
            StackError: one of them failed.
        """
        done = subprocess.run(
            [sys.executable, "-m", "deploy.bench.commands"],
            cwd=home.CHECKOUT,
            env=self.environment,
            input=json.dumps(commands),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"{commands} failed:\n{done.stderr[-3000:]}")
        return list(json.loads(done.stdout))

    def ask(self, query: str, *values: object) -> Any:
        """The first column of the first row."""
        row = self.database.execute(query, values).fetchone()
        return row[0] if row else None
