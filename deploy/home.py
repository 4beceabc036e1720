"""The data folder of one `make run`: its lock, its secrets, its state and its ports."""

import base64
import fcntl
import os
import random
import secrets
import socket
from pathlib import Path
from typing import IO, Any

from deploy import files

CHECKOUT = Path(__file__).resolve().parent.parent
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class HomeError(Exception):
    """The data folder or a port is taken; the text says by what and what to do."""


def folder(environment: dict[str, str]) -> Path:
    """The data folder: TRUNKLINE_HOME, else `.trunkline` in the checkout; made when missing.

    It may be passed through but not listed by others, so that PostgreSQL under another user reaches its own
    folder; everything in it is readable by its owner only.
    """
    path = Path(environment.get("TRUNKLINE_HOME") or CHECKOUT / ".trunkline").absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_dir():
        path.mkdir(mode=0o711)
    for name in ("logs", "broker", "static"):
        files.private_folder(path / name)
    return path


def lock(home: Path) -> IO[str]:
    """Hold the data folder while the returned file is open.

    Raises:
        HomeError: another process holds it.
    """
    held = os.fdopen(os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = held.read().strip() or "unknown"
        held.close()
        raise HomeError(
            f"Trunkline already runs in {home} (process {owner}): stop it, or set TRUNKLINE_HOME and PORT "
            "to run another one beside it."
        ) from None
    held.truncate(0)
    held.write(f"{os.getpid()}\n")
    held.flush()
    return held


def kept_secrets(home: Path) -> dict[str, Any]:
    """The installation's secrets, each generated once and kept in `secrets.json`."""
    path = home / "secrets.json"
    kept = files.read_json(path)
    fresh = {
        "secret_key": secrets.token_urlsafe(48),
        "fingerprint_key": secrets.token_urlsafe(32),
        "encryption_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        "demo_webhook_secret": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    if fresh.keys() - kept.keys():
        kept = {**fresh, **kept}
        files.write_json(path, kept)
    return kept


def check_port(port: int, *, host: str = "127.0.0.1") -> None:
    """Raises HomeError when `port` is taken, even by a listener that would share it (SO_REUSEPORT)."""
    if not 1 <= port <= 65535:
        raise HomeError(f"PORT={port} is not a port number (1 to 65535).")
    try:
        _bind(host, port)
    except OSError as error:
        raise HomeError(
            f"Port {port} cannot be used ({error.strerror}): choose another, as in `make run PORT=8080`."
        ) from None


def free_port(*, host: str = "127.0.0.1") -> int:
    """A port that nobody uses, below the range that outgoing connections draw from.

    A port inside that range could be taken by some client while its server restarts; worse, a client that
    dials a dead server there can be given the same port and connect to itself.
    """
    for port in random.sample(range(15000, min(_first_ephemeral(), 32768)), 200):
        try:
            _bind(host, port)
        except OSError:
            continue
        return port
    raise HomeError("No free port between 15000 and the range for outgoing connections.")


def _first_ephemeral() -> int:
    try:
        first = int(EPHEMERAL.read_text().split()[0])
    except OSError:
        return 32768
    return first if first > 16000 else 32768


def _bind(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)
