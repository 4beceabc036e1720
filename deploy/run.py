"""`make run`: the whole system on this machine, supervised, with a demo operator, until Ctrl-C.

Environment: PORT (8000), TRUNKLINE_HOME (`.trunkline/` in the checkout), DEMO=0 for no demo operator,
DATABASE_URL and BROKER_URL for servers of your own, CALLBACK_ALLOWED_NETWORKS (loopback when unset).
"""

import contextlib
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from deploy import account, files, gate, home, parts, postgres, supervisor

LOOPBACK = "127.0.0.0/8,::1/128"
OFF = {"0", "false", "no", "off"}


def main() -> int:
    """Run until told to stop; the exit code."""
    began = time.monotonic()
    given = dict(os.environ)
    with contextlib.ExitStack() as stack:
        try:
            folder = home.folder(given)
            stack.enter_context(home.lock(folder))
            os.chdir(home.CHECKOUT)
            run = Run(folder, given, began)
        except (home.HomeError, postgres.PostgresError, account.AccountError, OSError, ValueError) as error:
            print(f"Trunkline cannot start: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        stack.callback((folder / "state.json").unlink, missing_ok=True)
        return run.supervise()


class Run:
    """One run in one data folder."""

    def __init__(self, folder: Path, given: dict[str, str], began: float) -> None:
        self._folder, self._began = folder, began
        (folder / "gate").unlink(missing_ok=True)
        port = _port(given)
        home.check_port(port)
        server = None if given.get("DATABASE_URL") else postgres.prepare(home=folder)
        smsc_port, listener_port = parts.ports()
        self.state: dict[str, Any] = {
            "database_url": server.url if server else given["DATABASE_URL"],
            "broker_url": given.get("BROKER_URL") or "filesystem://",
            "port": port,
            "smsc_port": smsc_port,
            "listener_port": listener_port,
            "pids": {},
        }
        self.plan = parts.Plan(
            environment=environment(given, folder, self.state),
            port=port,
            smsc_port=smsc_port,
            listener_port=listener_port,
            server=server,
            demo=given.get("DEMO", "1").lower() not in OFF,
            demo_output=folder / "demo.out",
            new_demo_key="apiKey" not in files.read_json(folder / "demo.json"),
        )

    def supervise(self) -> int:
        return supervisor.Supervisor(
            parts.table(self.plan),
            logs=self._folder / "logs",
            changed=self._record,
            announce=self._announce,
            say=_say,
        ).run()

    def _record(self, pids: dict[str, int]) -> None:
        files.write_json(self._folder / "state.json", {**self.state, "pids": pids})

    def _announce(self) -> None:
        demo = _kept_demo(self._folder, self.plan.demo_output) if self.plan.demo else {}
        seconds = time.monotonic() - self._began
        admin = files.read_json(self._folder / "admin.json") if self.plan.demo else {}
        _show(self._folder, self.plan.port, seconds, key=demo.get("apiKey"), admin=admin)


def environment(given: dict[str, str], folder: Path, state: dict[str, Any]) -> dict[str, str]:
    """What every part finds in its environment: what was given, and what is missing there from `folder`."""
    kept = home.kept_secrets(folder)
    missing = {
        "SECRET_KEY": kept["secret_key"],
        "FINGERPRINT_KEY": kept["fingerprint_key"],
        "ENCRYPTION_KEYS": kept["encryption_key"],
    }
    # Celery's command line takes BROKER_URL for its own, before the application's settings are asked; so it is
    # passed on only when it names a broker. The embedded one is found by way of the state file.
    given = {name: value for name, value in given.items() if name != "BROKER_URL" or value}
    return {
        # Two arenas instead of eight a core: a thread pool's memory stays small.
        "MALLOC_ARENA_MAX": "2",
        "CALLBACK_ALLOWED_NETWORKS": LOOPBACK,
        **given,
        **{name: given.get(name) or str(value) for name, value in missing.items()},
        "DEMO_WEBHOOK_SECRET": str(kept["demo_webhook_secret"]),
        "DATABASE_URL": state["database_url"],
        "TRUNKLINE_HOME": str(folder),
        "PORT": str(state["port"]),
        gate.VARIABLE: str(folder / "gate"),
        # Seconds since the epoch: what came before is of no interest to who watches this run.
        "TRUNKLINE_STARTED_AT": f"{time.time():.3f}",
        "PYTHONUNBUFFERED": "1",
    }


def _port(given: dict[str, str]) -> int:
    text = given.get("PORT") or "8000"
    if not text.isdecimal():
        raise ValueError(f"PORT={text} is not a number.")
    return int(text)


def _kept_demo(folder: Path, output: Path) -> dict[str, Any]:
    """The demo's credentials: those just printed by its set-up over those kept from before, kept again."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        printed = {name: value for name, value in json.loads(output.read_text()).items() if value is not None}
        files.write_json(folder / "demo.json", {**files.read_json(folder / "demo.json"), **printed})
        output.unlink()
    return files.read_json(folder / "demo.json")


def curl(port: int, key: str) -> str:
    """The command line that sends a first message."""
    body = json.dumps({"to": "+14155550101", "content": {"text": "Hello from Trunkline"}})
    words = ["curl", "-sS", f"http://127.0.0.1:{port}/v1/messages", "-H", f"Authorization: Bearer {key}"]
    return shlex.join([*words, "-H", "Content-Type: application/json", "-d", body])


def _show(folder: Path, port: int, seconds: float, *, key: str | None, admin: dict[str, Any]) -> None:
    root = f"http://127.0.0.1:{port}"
    lines = [("API", f"{root}/v1"), ("Docs", f"{root}/v1/docs"), ("Admin", f"{root}/admin/")]
    if admin:
        lines += [("", f"as {admin['username']}; the first password is in {folder / 'admin.json'}")]
    lines += [("Data", str(folder))]
    if key:
        lines += [("Demo key", key), ("Send", curl(port, key))]
    _say(f"\nTrunkline runs, after {seconds:.1f} s. Ctrl-C stops it.\n")
    for name, value in lines:
        _say(f"  {_styled(f'{name:<10}')}{value}")
    _say("")


def _styled(label: str) -> str:
    """`label` in bold on a terminal."""
    return f"\x1b[1m{label}\x1b[0m" if sys.stdout.isatty() else label


def _say(text: str) -> None:
    """Print for the person at the terminal, who may have closed it."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
