"""Becomes a supervised child: own session, tied to its parent's life, if need be another user, then exec.

Run as a script with `python -I -S`, so it imports the standard library only. On Linux the kernel sends
`--death-signal` to the child when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG); the kernel
forgets that request when credentials change, so it is made last.

As another user the child keeps at most one capability, as an ambient one (capabilities(7)): enough to enter
folders that are closed to that user, without opening them to everybody.
"""

import argparse
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 4
LINUX_CAPABILITY_VERSION_3 = 0x20080522
EXIT_CANNOT_START = 126


def prctl(option: int, *arguments: int) -> None:
    """Change one attribute of this process, see the manual page of that name; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def _set_only_capability(number: int) -> None:
    """Make `number` the only permitted, effective and inheritable capability (capset(2), version 3)."""
    low, high = (1 << number) & 0xFFFFFFFF, (1 << number) >> 32
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(header, data) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"capset: {os.strerror(code)}")


def become(*, uid: int, gid: int, capability: int | None) -> None:
    """Give up root for `uid`, keeping `capability` over the exec; raises OSError where that is refused."""
    if capability is not None:
        prctl(PR_SET_KEEPCAPS, 1)
        # access(2) disregards the capabilities of all users but root unless this bit is set, and PostgreSQL asks
        # it about its own program. Only a closed folder above the programs makes that matter.
        with contextlib.suppress(PermissionError):
            prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capability is not None:
        _set_only_capability(capability)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)
    if sys.platform == "linux":
        prctl(PR_SET_NO_NEW_PRIVS, 1)


def die_with(*, parent: int, death_signal: int) -> None:
    """Have the kernel send `death_signal` when the parent ends; exits at once if it has ended already."""
    if sys.platform != "linux":
        return
    prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit(EXIT_CANNOT_START)


def command(
    argv: Sequence[str],
    *,
    death_signal: int = signal.SIGKILL,
    user: tuple[int, int, int | None] | None = None,
    parent: int | None = None,
) -> list[str]:
    """The command line that runs `argv` through this module as a child of this process.

    Args:
        argv: the program and its arguments; the program is an absolute path or on PATH.
        death_signal: what the child gets when its parent dies.
        user: (uid, gid, capability number or None) to run as.
        parent: process id of the parent, when it is not the caller.
    """
    options = ["--parent", str(parent or os.getpid()), "--death-signal", str(int(death_signal))]
    if user is not None:
        uid, gid, capability = user
        options += ["--uid", str(uid), "--gid", str(gid)]
        options += [] if capability is None else ["--capability", str(capability)]
    return [sys.executable, "-I", "-S", __file__, *options, "--", *argv]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--capability", type=int)
    parser.add_argument("argv", nargs="+")
    return parser.parse_args()


def main() -> None:
    options = _arguments()
    os.setsid()
    for name in (signal.SIGINT, signal.SIGPIPE, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(name, signal.SIG_DFL)
    try:
        if options.uid is not None:
            become(uid=options.uid, gid=options.gid, capability=options.capability)
        die_with(parent=options.parent, death_signal=options.death_signal)
        os.execvp(options.argv[0], options.argv)
    except OSError as error:
        print(f"{options.argv[0]} cannot be started: {error}", file=sys.stderr)
        sys.exit(EXIT_CANNOT_START)


if __name__ == "__main__":
    main()
