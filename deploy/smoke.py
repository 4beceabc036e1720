"""`make smoke`: what a newcomer does. A fresh data folder, `make run`, the printed curl line, Ctrl-C."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy import files, home

READY_SECONDS = 10.0
SLOW_MACHINE_SECONDS = 60.0
MESSAGE_SECONDS = 20.0
STOP_SECONDS = 40.0


class SmokeError(Exception):
    """The system did not do what it promises a newcomer."""


class Running:
    """`make run` in a session of its own; its lines as they come."""

    def __init__(self, folder: Path, port: int) -> None:
        variables = {**os.environ, "TRUNKLINE_HOME": str(folder), "PORT": str(port)}
        for name in ("DATABASE_URL", "BROKER_URL", "DEMO", "CALLBACK_ALLOWED_NETWORKS"):
            variables.pop(name, None)
        self.process = subprocess.Popen(
            ["make", "--no-print-directory", "run"],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            print(f"| {line.rstrip()}", flush=True)
            self.lines.put(line.strip())
        self.lines.put(None)

    def line_with(self, words: str, seconds: float) -> str:
        """The next line that contains `words`; raises SmokeError when there is none in time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise SmokeError(f"no line with {words!r} within {seconds:.0f} s") from None
            if line is None:
                raise SmokeError(f"`make run` ended before it printed {words!r}")
            if words in line:
                return line

    def stop(self) -> None:
        """Ctrl-C: SIGINT to all of the terminal's foreground processes."""
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise SmokeError(f"`make run` did not stop within {STOP_SECONDS:.0f} s") from None


@contextlib.contextmanager
def running(folder: Path, port: int) -> Iterator[Running]:
    """`make run` while the block lasts, killed if the block did not stop it."""
    run = Running(folder, port)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()


def send(line: str) -> dict[str, Any]:
    """Run the printed command line; its answer."""
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=15, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise SmokeError(f"curl ended with {done.returncode}: {done.stdout}{done.stderr}") from None
    if not isinstance(answer, dict) or "id" not in answer:
        raise SmokeError(f"the message was not accepted: {answer}")
    return answer


def await_delivery(*, port: int, key: str, message_id: str) -> None:
    """Ask the API until the message is delivered."""
    url = f"http://127.0.0.1:{port}/v1/messages/{message_id}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    deadline = time.monotonic() + MESSAGE_SECONDS
    status = None
    while time.monotonic() < deadline:
        with urllib.request.urlopen(request, timeout=5) as answer:
            status = json.load(answer)["status"]
        if status == "delivered":
            return
        time.sleep(0.1)
    raise SmokeError(f"the message is {status} after {MESSAGE_SECONDS:.0f} s")


def await_callback(*, port: int) -> None:
    """Ask the demo's listener on `port` until it has verified a callback."""
    deadline = time.monotonic() + MESSAGE_SECONDS
    counts: dict[str, int] = {}
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            counts = json.load(answer)
        if counts["verified"]:
            return
        time.sleep(0.1)
    raise SmokeError(f"no callback was verified within {MESSAGE_SECONDS:.0f} s: {counts}")


def left_in(folder: Path) -> list[str]:
    """Command lines of the processes whose environment or arguments name `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes()
            if (
                entry.name != str(os.getpid())
                and os.fsencode(folder) in line + (entry / "environ").read_bytes()
            ):
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


def smoke(folder: Path) -> None:
    """One newcomer's first minute; raises SmokeError."""
    port = home.free_port()
    began = time.monotonic()
    with running(folder, port) as run:
        line = run.line_with("curl ", SLOW_MACHINE_SECONDS)
        seconds = time.monotonic() - began
        answer = send(line[line.index("curl ") :])
        key = str(files.read_json(folder / "demo.json")["apiKey"])
        await_delivery(port=port, key=key, message_id=str(answer["id"]))
        await_callback(port=int(files.read_json(folder / "state.json")["listener_port"]))
        run.line_with("callback", MESSAGE_SECONDS)
        run.stop()
    if left := left_in(folder):
        raise SmokeError("left running:\n" + "\n".join(left))
    home.check_port(port)
    if seconds > READY_SECONDS:
        raise SmokeError(f"it took {seconds:.1f} s until the system was ready")
    print(f"smoke passed: ready in {seconds:.1f} s, a message delivered and called back, nothing left")


def main() -> int:
    os.chdir(home.CHECKOUT)
    with tempfile.TemporaryDirectory(prefix="trunkline-smoke-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            smoke(folder)
        except (SmokeError, home.HomeError, OSError) as error:
            print(f"smoke failed: {error}", file=sys.stderr)
            for log in sorted((folder / "logs").glob("*.log")):
                print(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-15:]), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
