"""The data folder's private files: written whole or not at all, readable by their owner only."""

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any


def write(path: Path, text: str, *, owner: tuple[int, int] | None = None) -> None:
    """Replace `path` by `text` with mode 0600, given to `owner` (uid, gid).

    Never follows a link that somebody planted: the new file is created afresh and renamed into place.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            if owner is not None:
                os.fchown(file.fileno(), *owner)
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        raise


def write_json(path: Path, members: dict[str, Any]) -> None:
    """Replace `path` by `members` as JSON, mode 0600."""
    write(path, json.dumps(members, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The members kept in `path`; empty when the file does not exist.

    Raises:
        ValueError, TypeError: the file is not a JSON object.
    """
    try:
        kept = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    if not isinstance(kept, dict):
        raise TypeError(f"{path} is not a JSON object")
    return kept


def private_folder(path: Path) -> Path:
    """`path`, created with mode 0700 when it is missing."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
