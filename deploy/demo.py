"""`make demo N=1000`: sends N messages through the running `make run` and accounts for every one.

They go through the HTTP API to the demo operator; their callbacks come to a listener of this program's own, by a
webhook made for the purpose and deleted again. Exit code 1: a message was lost, doubled or did not get through, a
signature was wrong, or nothing moved for a minute.

Environment: TRUNKLINE_HOME as for `make run`, N, SINGLE=1 for a call a message instead of 1,000 in one.
"""

import argparse
import asyncio
import contextlib
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy import files, home, listener, load, measure

PATIENCE_SECONDS = 60.0
# A late repeat of a callback comes within this long after the last one, if it comes.
GRACE_SECONDS = 0.5
SENT, DELIVERED = "message.sent", "message.delivered"
ENDED = (DELIVERED, "message.failed", "message.expired", "message.rejected")
EVENTS = (SENT, *ENDED)


class DemoError(Exception):
    """The demo cannot be run; the text says what to do."""


class _Data(msgspec.Struct, rename="camel"):
    id: str
    client_message_id: str | None
    occurred_at: str


class _Callback(msgspec.Struct):
    type: str
    data: _Data


_read_callback = msgspec.json.Decoder(_Callback).decode


@dataclass
class Account:
    """What became of each message of one run. Moments are seconds since the epoch.

    Attributes:
        accepted: how many the API said yes to.
        sent, ended: number of the message → the moment of its event; `came` the event it ended with.
        stages: the seconds that each stage took, by name.
    """

    run: str
    accepted: int = 0
    sent: dict[int, float] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)
    came: dict[int, str] = field(default_factory=dict)
    callbacks: int = 0
    doubled: int = 0
    last_at: float = 0.0
    accept_seconds: list[float] = field(default_factory=list)
    callback_seconds: list[float] = field(default_factory=list)
    _accepted_at: dict[int, float] = field(default_factory=dict)

    @property
    def delivered(self) -> int:
        return sum(1 for kind in self.came.values() if kind == DELIVERED)

    @property
    def lost(self) -> int:
        """Accepted messages of which an event or its callback is missing."""
        return max(0, self.accepted - len(self.sent.keys() & self.ended.keys()))

    def take(self, _name: str, body: bytes, now: float) -> None:
        """One verified callback; those of other traffic are left out."""
        callback = _read_callback(body)
        run, _, number = (callback.data.client_message_id or "").rpartition("-")
        if run != self.run:
            return
        place, at = int(number), datetime.fromisoformat(callback.data.occurred_at).timestamp()
        seen = self.sent if callback.type == SENT else self.ended
        self.last_at = now
        self.callbacks += 1
        self.doubled += place in seen
        seen[place] = at
        if callback.type != SENT:
            self.came[place] = callback.type
            self.callback_seconds.append(now - at)
        self._accepted_at[place] = moment(callback.data.id)

    def stages(self) -> dict[str, list[float]]:
        """Seconds by stage, in the order of the flow."""
        accepted = self._accepted_at
        both = self.sent.keys() & self.ended.keys()
        return {
            "accept call": self.accept_seconds,
            "accepted → sent": [at - accepted[place] for place, at in self.sent.items()],
            "sent → delivered": [self.ended[place] - self.sent[place] for place in both],
            "delivered → callback": self.callback_seconds,
        }


def moment(message_id: str) -> float:
    """When a message was accepted: ids are UUIDv7 (RFC 9562), which begin with milliseconds since the epoch."""
    return int(message_id[:8] + message_id[9:13], 16) / 1000


@dataclass(frozen=True)
class Running:
    """The `make run` to go through."""

    port: int
    key: str

    @classmethod
    def find(cls, folder: Path) -> "Running":
        """Raises DemoError when nothing runs in `folder`, or runs without its demo operator."""
        state, demo = files.read_json(folder / "state.json"), files.read_json(folder / "demo.json")
        if not state.get("port"):
            raise DemoError(f"Nothing runs in {folder}: start `make run` in another terminal first.")
        if "smsc" not in state.get("pids", {}) or "apiKey" not in demo:
            raise DemoError("This `make run` has no demo operator: start it without DEMO=0.")
        return cls(int(state["port"]), str(demo["apiKey"]))

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call of the API; raises DemoError for anything but success."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            response = requests.request(
                method, url, json=body, headers={"Authorization": f"Bearer {self.key}"}, timeout=10
            )
        except requests.RequestException as error:
            raise DemoError(f"The API does not answer: {error}") from error
        if response.status_code >= 300:
            raise DemoError(f"{method} {path} was answered {response.status_code}: {response.text[:300]}")
        return dict(response.json()) if response.content else {}


class Board:
    """A progress bar for each stage."""

    def __init__(self, progress: Progress, count: int) -> None:
        self._progress = progress
        names = {"accepted": count, "sent": count, "delivered": count, "callbacks verified": 2 * count}
        self._tasks: dict[str, TaskID] = {
            name: progress.add_task(name, total=total) for name, total in names.items()
        }

    def show(self, account: Account) -> None:
        counts = (account.accepted, len(account.sent), account.delivered, account.callbacks)
        for task, count in zip(self._tasks.values(), counts, strict=True):
            self._progress.update(task, completed=count)


async def run(running: Running, *, count: int, single: bool, show: Callable[[Account], None]) -> "Report":
    """Send, wait until all is accounted for or nothing moves any more, and put the webhook away again.

    Raises:
        DemoError: the API refuses the webhook.
        load.LoadError: it stopped answering.
    """
    account = Account(f"demo-{secrets.token_hex(4)}")
    received = listener.Received(b"", keep=2 * count + 100_000, on_callback=account.take)
    async with _listening(received) as url, _webhook(running, url) as secret:
        received.secret = listener.key(secret)
        return await _send(running, account, received, count=count, single=single, show=show)


@contextlib.asynccontextmanager
async def _listening(received: listener.Received) -> AsyncIterator[str]:
    """The URL of a listener that takes callbacks while the block lasts."""
    opened: set[_Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(received, opened), "127.0.0.1", 0, backlog=1024)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for connection in opened:
            connection.abort()
        await asyncio.sleep(0)


class _Connection(listener.Connection):
    """One whose end does not wait for the peer's."""

    def __init__(self, received: listener.Received, opened: "set[_Connection]") -> None:
        super().__init__(received)
        self._opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._opened.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._opened.discard(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@contextlib.asynccontextmanager
async def _webhook(running: Running, url: str) -> AsyncIterator[str]:
    """The secret of a webhook that is there while the block lasts."""
    wish = {"url": url, "method": "POST", "encoding": "JSON", "events": EVENTS, "description": "make demo"}
    made = await asyncio.to_thread(running.call, "POST", "/v1/webhooks/messages", wish)
    try:
        yield made["secret"]
    finally:
        path = f"/v1/webhooks/messages/{made['id']}"
        await asyncio.shield(asyncio.to_thread(running.call, "DELETE", path))


async def _send(
    running: Running,
    account: Account,
    received: listener.Received,
    *,
    count: int,
    single: bool,
    show: Callable[[Account], None],
) -> "Report":
    job = load.Job(
        port=running.port, key=running.key, run=account.run, count=count, per_call=1 if single else 1000
    )

    def answered(number: int, status: int, body: bytes) -> None:
        if status == 200:
            account.accepted += 1 if single else load.read_bulk(body).accepted
        account.accept_seconds.append(drive.latencies[number])

    drive = load.Drive(
        list(load.requests(job)), port=job.port, connections=16 if single else 3, on_answer=answered
    )
    began = time.time()
    sending = asyncio.ensure_future(drive.run())
    try:
        complete = await _watch(account, sending, show)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return Report(account, received, count, max(0.0, account.last_at - began), complete)


async def _watch(
    account: Account, sending: asyncio.Future[tuple[float, float]], show: Callable[[Account], None]
) -> bool:
    """Show the progress; True when every accepted message is accounted for, False when nothing moves."""
    before, moved_at = -1, time.monotonic()
    while True:
        if sending.done():
            sending.result()
            if account.lost == 0:
                await asyncio.sleep(GRACE_SECONDS)
                show(account)
                return True
        show(account)
        steps = account.accepted + account.callbacks
        if steps != before:
            before, moved_at = steps, time.monotonic()
        elif time.monotonic() - moved_at > PATIENCE_SECONDS:
            return False
        await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Report:
    """The end of a run. `seconds` from the first call to the last callback."""

    account: Account
    received: listener.Received
    count: int
    seconds: float
    complete: bool

    @property
    def right(self) -> bool:
        """Every message delivered once, every callback once and rightly signed."""
        account, received = self.account, self.received
        wrong = account.lost or account.doubled or received.duplicates or received.refused
        return self.complete and not wrong and account.delivered == self.count

    def show(self, console: Console) -> None:
        console.print(self._counts())
        console.print(self._latencies())
        if not self.complete:
            console.print(f"Nothing moved for {PATIENCE_SECONDS:.0f} s.", style="bold red")
        if self.received.refused:
            console.print(f"{self.received.refused} callbacks had a wrong signature.", style="bold red")
        refused = self.count - self.account.accepted
        if refused:
            console.print(f"{refused} messages were not accepted.", style="bold red")

    def _counts(self) -> Table:
        account = self.account
        table = Table("", "messages", title_justify="left")
        table.title = f"{self.count:,} messages in {self.seconds:.2f} s"
        table.columns[1].justify = "right"
        rows = {
            "accepted": account.accepted,
            "sent": len(account.sent),
            "delivered": account.delivered,
            "callbacks verified": account.callbacks,
            "lost": account.lost,
            "duplicated": account.doubled,
            "messages per second": round(account.delivered / self.seconds) if self.seconds > 0 else 0,
        }
        for name, number in rows.items():
            bad = name in {"lost", "duplicated"} and number
            table.add_row(name, f"{number:,}", style="bold red" if bad else None)
        return table

    def _latencies(self) -> Table:
        table = Table("stage", "p50 ms", "p99 ms")
        for name, seconds in self.account.stages().items():
            of = measure.spread(seconds)
            table.add_row(name, f"{of['p50']:,.1f}", f"{of['p99']:,.1f}")
        for column in table.columns[1:]:
            column.justify = "right"
        return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send messages through the running `make run`.")
    parser.add_argument(
        "count", type=int, nargs="?", default=int(os.environ.get("N") or 1000), help="how many (1000)"
    )
    parser.add_argument(
        "--single",
        action="store_true",
        default=os.environ.get("SINGLE", "0") not in {"", "0"},
        help="one message a call, as SINGLE=1 does, and not 1,000",
    )
    options = parser.parse_args()
    if not 0 < options.count <= 1_000_000:
        parser.error("the count must be between 1 and 1,000,000")
    return options


def main() -> int:
    options = _arguments()
    console = Console()
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        running = Running.find(Path(os.environ.get("TRUNKLINE_HOME") or home.CHECKOUT / ".trunkline"))
        with Progress(*columns, console=console) as progress:
            board = Board(progress, options.count)
            report = asyncio.run(run(running, count=options.count, single=options.single, show=board.show))
    except (DemoError, load.LoadError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    report.show(console)
    return 0 if report.right else 1


if __name__ == "__main__":
    sys.exit(main())
