"""Who the embedded PostgreSQL runs as.

PostgreSQL refuses user id 0. Started by root it runs as the owner of its data, by default `nobody`. Folders
above the data or the programs that this user cannot enter are left as they are: the server gets the one
capability that lets it pass (CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where only that is granted, as in a
container with default settings).
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_CHOWN_SETGID_SETUID = (0, 6, 7)
STATUS = Path("/proc/self/status")


class AccountError(Exception):
    """The embedded PostgreSQL cannot be run by this user; the text says what to do."""


@dataclass(frozen=True)
class Account:
    """A user to run as: ids, and the capability that its child process needs (None: none)."""

    uid: int
    gid: int
    capability: int | None = None

    @property
    def switch(self) -> tuple[int, int, int | None] | None:
        """What `child.command(user=…)` takes: None when nothing changes."""
        return None if self.uid == os.geteuid() else (self.uid, self.gid, self.capability)

    @property
    def owner(self) -> tuple[int, int] | None:
        """What new files are given to: None when they are ours already."""
        return None if self.uid == os.geteuid() else (self.uid, self.gid)


def choose(*, data: Path, program: Path) -> Account:
    """The account to run the executable `program` as, on the data that is (or will be) in the folder `data`.

    Raises:
        AccountError: the data is another user's, or root may not switch to the user it needs.
    """
    if os.geteuid() != 0:
        return _own_account(data)
    user = _owner_or_nobody(data)
    if not _granted().issuperset(CAP_CHOWN_SETGID_SETUID):
        raise AccountError(
            f"PostgreSQL refuses to run as root, and this root may not become {user.pw_name}: "
            "run as a normal user, or set DATABASE_URL."
        )
    closed = [path for path in {*data.parents, *program.parents, program} if not _may_pass(user, path.stat())]
    return Account(uid=user.pw_uid, gid=user.pw_gid, capability=_key_to(closed, user.pw_name))


def _own_account(data: Path) -> Account:
    if data.exists() and data.stat().st_uid != os.geteuid():
        raise AccountError(
            f"The data in {data} belongs to user id {data.stat().st_uid}: run as that user, "
            "or set TRUNKLINE_HOME to a folder of your own."
        )
    return Account(uid=os.geteuid(), gid=os.getegid())


def _owner_or_nobody(data: Path) -> pwd.struct_passwd:
    uid = data.stat().st_uid if data.exists() else 0
    try:
        return pwd.getpwuid(uid) if uid else pwd.getpwnam("nobody")
    except KeyError:
        raise AccountError(
            f"No user {uid or 'nobody'} to run PostgreSQL as: run as a normal user, or set DATABASE_URL."
        ) from None


def _may_pass(user: pwd.struct_passwd, entry: os.stat_result) -> bool:
    """Whether owner, group and mode let `user` enter a folder or execute a file."""
    if entry.st_uid == user.pw_uid:
        return bool(entry.st_mode & stat.S_IXUSR)
    if entry.st_gid == user.pw_gid:
        return bool(entry.st_mode & stat.S_IXGRP)
    return bool(entry.st_mode & stat.S_IXOTH)


def _granted() -> frozenset[int]:
    """Numbers of the capabilities in effect; all of them where the kernel does not tell (macOS)."""
    if not STATUS.exists():
        return frozenset(range(64))
    text = next(line for line in STATUS.read_text().splitlines() if line.startswith("CapEff:"))
    mask = int(text.split()[1], 16)
    return frozenset(number for number in range(64) if mask >> number & 1)


def _key_to(closed: list[Path], name: str) -> int | None:
    """The capability that opens `closed`; None when there is nothing to open.

    CAP_DAC_READ_SEARCH opens folders, but only CAP_DAC_OVERRIDE lets a file be executed.
    """
    if not closed:
        return None
    granted = _granted() if STATUS.exists() else frozenset()
    folders_only = all(path.is_dir() for path in closed)
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if folders_only else (CAP_DAC_OVERRIDE,):
        if capability in granted:
            return capability
    raise AccountError(
        f"PostgreSQL runs as {name}, who may not enter {', '.join(map(str, sorted(closed)))}, and "
        "CAP_DAC_OVERRIDE, which would let it, is not granted here. Run as a normal user, set TRUNKLINE_HOME "
        "to a folder below ones that everybody may enter (such as /var/lib/trunkline), or set DATABASE_URL."
    )
