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
from pathlib import Path

from deploy import home, postgres

BIN = Path(sys.executable).parent
CHECKS = {
    "format": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "lint": [sys.executable, "-m", "ruff", "check", "."],
    # Without the cache: after a change the Django plugin sometimes loses a manager of a model it did not re-read.
    "types": [sys.executable, "-m", "mypy", "--cache-dir", os.devnull],
    "imports": [str(BIN / "lint-imports")],
    "migrations": [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
}


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
    print(
        f"{name:<11}{'ok' if done.returncode == 0 else 'FAILED':<7}{time.monotonic() - began:5.1f} s",
        flush=True,
    )
    if done.returncode != 0:
        print(done.stdout + done.stderr, flush=True)
    return done.returncode == 0


def runs(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """What pytest is run with. Two tests share the machine, but for the pipeline's, whose processes fill it."""
    pytest = [sys.executable, "-m", "pytest"]
    if arguments:
        return [("tests", [*pytest, *arguments])]
    return [
        ("tests", [*pytest, "-n", "2", "-m", "not pipeline"]),
        ("pipeline tests", [*pytest, "-m", "pipeline"]),
    ]


def _fails(command: Sequence[str], variables: Mapping[str, str]) -> bool:
    return subprocess.run(command, env=dict(variables), check=False).returncode != 0


def main() -> int:
    """The exit code: 0 when everything passed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.chdir(home.CHECKOUT)
    with tempfile.TemporaryDirectory(prefix="trunkline-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with postgres.running(home=folder) as url:
            variables = environment(folder=folder, database_url=url)
            failed = [check for check, command in CHECKS.items() if not passes(check, command, variables)]
            failed += [name for name, command in runs(sys.argv[1:]) if _fails(command, variables)]
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
