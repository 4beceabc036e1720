"""A RabbitMQ node of the test's own: Debian's package, on loopback, its data in a folder that goes with it."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import kombu
from amqp.exceptions import NotFound

from deploy import child, home, smoke

# The scripts in the package's own folder; the ones on PATH insist on changing the user.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_SECONDS = 90.0
QUEUES = ("operator.alpha", "webhooks")
QUORUM = {"x-queue-type": "quorum"}


def installed():
    return SERVER.exists() and shutil.which("epmd") is not None


class Rabbit:
    """A node and the port mapper that it needs; a context manager."""

    def __init__(self, folder):
        self.folder = folder
        self._port, self._names, distribution = (home.free_port() for _ in range(3))
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"
        for name in ("data", "log"):
            (folder / name).mkdir()
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self._port}\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": str(folder / "log" / "crash.dump"),
            "RABBITMQ_NODENAME": f"trunkline-{self._port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            # Idle schedulers sleep: the cores are wanted by others.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            # Makes the script become the node instead of waiting for it.
            "RUNNING_UNDER_SYSTEMD": "1",
        }
        self._mapper = self._node = None

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._mapper = self._spawn(["epmd", "-port", str(self._names), "-address", "127.0.0.1"])
            self.start()
            undo.pop_all()
        return self

    def __exit__(self, *exc):
        self.close()

    def start(self):
        """Start the node and wait until it takes connections."""
        self._node = self._spawn([str(SERVER)])
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._node.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"RabbitMQ does not start:\n{self._said()}")
            time.sleep(0.1)

    def kill(self):
        """Kill -9 the node with all that belongs to it."""
        if self._node is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._node.pid, signal.SIGKILL)
        self._node.wait()
        self._node = None

    def close(self):
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
        deadline = time.monotonic() + 5
        while (left := smoke.left_in(self.folder)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left, "left running:\n" + "\n".join(left)

    def empty(self):
        """Purge all queues; how many messages that was."""
        with kombu.Connection(self.url, connect_timeout=5) as connection:
            purged = 0
            for name in QUEUES:
                with connection.channel() as channel, contextlib.suppress(NotFound):
                    purged += channel.queue_purge(name)
            return purged

    def declare_quorum(self, name):
        """Declare a queue that exists as a quorum queue; raises PreconditionFailed when it is of another kind."""
        with kombu.Connection(self.url, connect_timeout=5) as connection, connection.channel() as channel:
            channel.queue_declare(name, durable=True, auto_delete=False, arguments=QUORUM)

    def _spawn(self, argv):
        with (self.folder / "said.out").open("ab") as output:
            return subprocess.Popen(
                child.command(argv),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def _answers(self):
        try:
            with kombu.Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except OSError:
            return False
        return True

    def _said(self):
        logs = [self.folder / "said.out", *sorted((self.folder / "log").glob("*.log"))]
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in logs if log.exists())
