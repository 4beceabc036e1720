import json
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("supervised.py")


def alive(pid):
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in {b"Z", b"X"}


def eventually(check, seconds=8.0):
    """The first true result of `check`."""
    deadline = time.monotonic() + seconds
    while not (result := check()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
    return result


class Supervised:
    """A supervisor process with dummy parts."""

    def __init__(self, folder, parts):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(SCRIPT), str(folder), json.dumps(parts)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def lines(self, name):
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def pids(self):
        return json.loads((self.folder / "state.json").read_text())["pids"]

    def announced(self):
        eventually((self.folder / "announced").exists)
        return self.pids()

    def stop(self, number=signal.SIGTERM, seconds=15):
        """Signal, wait, and give (exit code, output)."""
        self.process.send_signal(number)
        return self.ended(seconds)

    def ended(self, seconds=15):
        output, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, output
