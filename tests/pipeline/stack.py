"""The whole product as real processes in a folder of its own, supervised as `make run` supervises it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg

from deploy import child, files, home, parts, smoke
from tests.pipeline.account import Account
from tests.pipeline.client import Traffic
from tests.pipeline.peers import Listener, Smsc

# What belongs to the installation of the person or the program that runs the tests.
FOREIGN = {
    *("PORT", "DEMO", "DATABASE_URL", "BROKER_URL", "BROKER_FOLDER", "CALLBACK_ALLOWED_NETWORKS"),
    *("SECRET_KEY", "FINGERPRINT_KEY", "ENCRYPTION_KEYS", "TRUNKLINE_HOME", "TRUNKLINE_ROLE"),
    *("DEMO_WEBHOOK_SECRET", "DJANGO_SETTINGS_MODULE", "TENANT_BACKLOG_LIMIT"),
}
WINDOW = 100
# What a webhooks worker may have had under way or not yet recorded.
CALLBACKS_IN_HAND = 512
START_SECONDS = 90.0
# The supervisor's promise.
RESTART_SECONDS = 5.0
CALM_SECONDS = 30.0
STOP_SECONDS = 60.0

_COMMANDS = """
import json, os, sys, django
from django.core.management import call_command
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
for name, arguments, options in json.loads(sys.argv[1]):
    call_command(name, *arguments, **options, json=True)
"""
_BACKEND = """
SELECT pid FROM pg_stat_activity
WHERE application_name = %s AND backend_type = 'client backend' ORDER BY state = 'active' DESC, query_start DESC
"""


class Stack:
    """A running system with one tenant, one SMPP operator and one webhook; use as a context manager.

    ``broker`` is None for the embedded one, or a broker of the test's own: its ``url``, and ``empty()``.
    """

    def __init__(self, folder, *, broker=None):
        self.folder, self.broker = folder, broker
        self.port = home.free_port()
        self.smsc = Smsc(folder)
        self._own = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        self._own |= {"TRUNKLINE_HOME": str(folder)}
        self.listener = None
        self._run = None
        self._more = []
        self._runs = 0

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self.smsc.start()
            self._start()
            self._set_up()
            self.await_calm()
            undo.pop_all()
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """End every process; raises when one outlives that."""
        for process in self._more:
            process.kill()
            process.wait()
        if self._run is not None:
            self._run.terminate()
            try:
                self._run.wait(STOP_SECONDS)
            finally:
                self._run.kill()
        if self.listener is not None:
            self.listener.close()
        self.smsc.close()
        left = smoke.left_in(self.folder)
        assert not left, "left running:\n" + "\n".join(left)

    def _start(self):
        broker = {} if self.broker is None else {"BROKER_URL": self.broker.url}
        environment = {**self._own, "PORT": str(self.port), "DEMO": "0", **broker}
        self._run = self._spawn("run", ["-m", "deploy.run"], environment)
        self._await(lambda: "Trunkline runs" in self.said("run"), START_SECONDS, "`make run` is not ready")

    def _spawn(self, name, arguments, environment):
        with (self.folder / f"{name}.out").open("ab") as output:
            return subprocess.Popen(
                child.command([sys.executable, *arguments], death_signal=signal.SIGTERM),
                cwd=home.CHECKOUT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def _set_up(self):
        self.listener = Listener()
        operator = {"transport": "smpp", "host": "127.0.0.1", "port": self.smsc.port, "window": WINDOW}
        operator |= {"system_id": "alpha", "password": "secret"}
        reconnect = ["reconnect_min_seconds=0.2", "reconnect_max_seconds=2"]
        _tenant, key, *_rest = self.manage(
            ("create_tenant", ["Acme"], {}),
            ("issue_key", [], {"tenant": "acme", "name": "pipeline"}),
            ("add_operator", ["alpha"], {**operator, "set": reconnect}),
            ("add_route", [], {"operator": "alpha"}),
        )
        self.key = key["apiKey"]
        webhook = {"url": self.listener.url, "method": "POST", "encoding": "JSON"}
        webhook |= {"events": ["message.delivered"]}
        made = self.call("/v1/webhooks/messages", webhook)
        self.webhook_id = made["id"]
        self.listener.start(secret=made["secret"])

    def manage(self, *commands):
        """The results of management commands, as from another terminal but in one process: starts cost a second.

        Each is (name, arguments, options).
        """
        done = subprocess.run(
            [sys.executable, "-c", _COMMANDS, json.dumps(commands)],
            cwd=home.CHECKOUT,
            env=self._own,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{commands}: {done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def call(self, path, body=None, *, method=None):
        """The JSON answer to a GET, or to a POST of `body`, unless it is another method."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def sql(self, statement, arguments=()):
        """All rows of a query in the stack's own database."""
        with psycopg.connect(self.database_url, autocommit=True, connect_timeout=5) as connection:
            return connection.execute(statement, arguments).fetchall()

    @property
    def database_url(self):
        return self.state()["database_url"]

    def state(self):
        return files.read_json(self.folder / "state.json")

    def pid(self, part):
        """The part's process id; waits while it is being started again."""
        return self._await(lambda: self.state()["pids"].get(part), RESTART_SECONDS, f"{part} does not run")

    def api_workers(self):
        """Process ids of the API's worker processes."""
        parent = str(self.pid("api")).encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                is_child = (entry / "stat").read_bytes().rpartition(b")")[2].split()[1] == parent
                if is_child and b"granian" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def kill(self, part, number=signal.SIGKILL):
        """Signal a part and wait until the supervisor has started it again."""
        before = self.pid(part)
        os.kill(before, number)
        patience = RESTART_SECONDS if number == signal.SIGKILL else 20.0
        self._await(
            lambda: self.state()["pids"].get(part) not in {before, None},
            patience,
            f"{part} is not started again within {patience:.0f} s",
        )

    def kill_backend(self, part):
        """Kill -9 one of the database processes that serve `part`, a busy one if there is one."""
        (pid,) = self.sql(_BACKEND, [part])[0]
        os.kill(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def another(self, part):
        """One more process of a part's kind beside the supervised one, ended by SIGTERM; gives its Popen."""
        worker = [*parts.CELERY, "-Q", "operators", "-n", "second@%h", *parts.QUIET]
        arguments = {"relay": ["manage.py", "relay"], "worker": worker}[part]
        broker = {} if self.broker is None else {"BROKER_URL": self.broker.url}
        environment = {**self._own, **broker, "TRUNKLINE_ROLE": part}
        process = self._spawn(f"another-{part}", arguments, environment)
        self._more.append(process)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def empty_broker(self):
        """Everything that waits in a queue is gone; how many messages that was."""
        if self.broker is not None:
            return self.broker.empty()
        waiting = [path for path in (self.folder / "broker" / "queues").rglob("*") if path.is_file()]
        for path in waiting:
            path.unlink(missing_ok=True)
        return len(waiting)

    def drain_broker(self):
        """Empty the broker again and again for a second; how many messages that took away."""
        taken = 0
        for _ in range(20):
            taken += self.empty_broker()
            time.sleep(0.05)
        return taken

    def send(self, count=5000, **options):
        """Traffic that is being submitted; a context manager, see :class:`Traffic`."""
        self._runs += 1
        first = self._runs * 100_000
        return Traffic(port=self.port, key=self.key, smsc=self.smsc, first=first, count=count, **options)

    def account(self, traffic, *, seconds=60.0):
        """What became of `traffic`, when nothing moves any more (or after `seconds`)."""
        account = Account(self, traffic)
        account.settle(seconds)
        return account

    def await_calm(self):
        """Until database, broker and the operator's bind are up."""

        def calm():
            try:
                self.call_plain("/health/ready")
            except OSError:
                return False
            return True

        self._await(calm, CALM_SECONDS, "the stack is not ready")

    def await_workers(self, count):
        """Until so many workers have the operator's bind up."""
        statement = "SELECT count(DISTINCT worker) FROM routing_operatorstate WHERE up AND seen_at > now() - interval '2 s'"
        self._await(lambda: self.sql(statement)[0][0] >= count, 20.0, f"not {count} workers")

    def call_plain(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return answer.read()

    def said(self, name):
        path = self.folder / f"{name}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def log_ends(self, lines=12):
        """The ends of all logs, for a failure's message."""
        logs = sorted((self.folder / "logs").glob("*.log")) + sorted(self.folder.glob("*.out"))
        ends = [f"--- {log.name}\n" + _last_lines(log, lines) for log in logs]
        return "\n".join(ends)

    def _await(self, check, seconds, words):
        deadline = time.monotonic() + seconds
        while not (result := check()):
            if self._run is not None and self._run.poll() is not None:
                raise AssertionError(f"`make run` has ended:\n{self.said('run')}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{words} after {seconds:.0f} s\n{self.log_ends()}")
            time.sleep(0.02)
        return result


def _last_lines(log, lines):
    text = log.read_bytes()[-8192:].decode(errors="replace")
    return "\n".join(line[:400] for line in text.splitlines()[-lines:])
