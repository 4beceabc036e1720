"""`make test`: every check, then pytest on an embedded PostgreSQL of its own. Arguments go to pytest."""

import base64
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy import home, postgres

BIN = Path(sys.executable).parent
CHECKS = {
    # Without the cache: after a change the Django plugin sometimes loses a manager of a model it did not re-read.
    "types": [sys.executable, "-m", "mypy", "--cache-dir", os.devnull],
    "format": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "lint": [sys.executable, "-m", "ruff", "check", "."],
    "imports": [str(BIN / "lint-imports")],
    "migrations": [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
}

# The tests that kill things have servers of their own; here nothing needs to outlive the machine.
FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


def environment(*, folder: Path, database_url: str) -> dict[str, str]:
    """What tests find in their environment: an installation of their own below `folder`."""
    # What belongs to an installation of the person who runs the tests must not reach them.
    foreign = {"PORT", "DEMO", "BROKER_URL", "CALLBACK_ALLOWED_NETWORKS"}
    return {
        **{name: value for name, value in os.environ.items() if name not in foreign},
        "TRUNKLINE_HOME": str(folder),
        "DATABASE_URL": database_url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ENCRYPTION_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


def passes(name: str, command: list[str], variables: Mapping[str, str]) -> bool:
    """Run one check; its output is shown when it fails."""
    began = time.monotonic()
    done = subprocess.run(
        command, env=dict(variables), capture_output=True, text=True, check=False, errors="replace"
    )
    passed = done.returncode == 0
    line = f"{name:<11}{'ok' if passed else 'FAILED':<7}{time.monotonic() - began:5.1f} s\n"
    # In one piece: another check may end at the same moment.
    sys.stdout.write(line if passed else f"{line}{done.stdout}{done.stderr}\n")
    sys.stdout.flush()
    return passed


def failing(variables: Mapping[str, str]) -> list[str]:
    """Run the checks, two at a time; the names of those that fail."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        done = pool.map(lambda name: passes(name, CHECKS[name], variables), CHECKS)
        return [name for name, passed in zip(CHECKS, done, strict=True) if not passed]


def runs(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """What pytest is run with: tests that mostly wait, then the pipeline's, a file at a time, which shares a system.

    What measures (``-m bench``) takes all processors there are: CI runs it after the others.
    """
    pytest = [sys.executable, "-m", "pytest"]
    if arguments:
        return [("tests", [*pytest, *arguments])]
    return [
        ("tests", [*pytest, "-n", "3", "-m", "not pipeline and not bench"]),
        ("pipeline tests", [*pytest, "-n", "2", "--dist", "loadfile", "-m", "pipeline"]),
    ]


def _fails(command: Sequence[str], variables: Mapping[str, str]) -> bool:
    return subprocess.run(command, env=dict(variables), check=False).returncode != 0


def main() -> int:
    """The exit code: 0 when everything passed."""
    # A shell that starts it in the background has SIGINT ignored, which every process here would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    os.chdir(home.CHECKOUT)
    with tempfile.TemporaryDirectory(prefix="trunkline-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with postgres.running(home=folder, settings=FORGETFUL) as url:
            variables = environment(folder=folder, database_url=url)
            failed = failing(variables)
            failed += [name for name, command in runs(sys.argv[1:]) if _fails(command, variables)]
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
