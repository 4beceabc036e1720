"""HTTP load, cheaply made: prepared requests over kept-alive connections, one unanswered at a time on each.

`Drive` sends within a program. `python -m deploy.load` is a process of its own: each line of JSON on its standard
input is a `Job`, answered by `{"ready": true}` when the requests are prepared; the line after that, whatever it
says, starts it, and its `Result` is printed as one line of JSON.
"""

import asyncio
import dataclasses
import gc
import json
import re
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

# Answers that say "later": the request goes again after a pause, its clientMessageId makes that safe.
LATER = frozenset({429, 503})
PAUSE_SECONDS = 0.25
PATIENCE_SECONDS = 60.0
BULK_PATH, SINGLE_PATH = "/v1/messages/bulk", "/v1/messages"

_length = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class LoadError(Exception):
    """The server answers nothing, or not as HTTP/1.1 with Content-Length; the text says what happened."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Messages to submit.

    Attributes:
        run: begins every clientMessageId, `<run>-<number>`.
        first: the first number; recipients and texts follow from the numbers.
        per_call: messages a bulk call; 1 is single POSTs.
        rate: calls a second; None is as fast as the connections allow.
        prefixes: of the recipients, in turn; seven digits follow.
        times: whether the result lists the moment of each answer.
    """

    port: int
    key: str
    run: str
    count: int
    first: int = 0
    per_call: int = 1000
    connections: int = 3
    rate: float | None = None
    prefixes: Sequence[str] = ("+3361",)
    times: bool = False


@dataclass(kw_only=True)
class Result:
    """What came of a job. Moments are seconds since the epoch, latencies seconds.

    `latencies` are from the moment a call was due to its last answer, in the order of the calls; `answered_at`
    only when the job asked for `times`.
    """

    accepted: int = 0
    refused: int = 0
    began_at: float = 0.0
    ended_at: float = 0.0
    repeated: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)


class Bulk(msgspec.Struct):
    """What a bulk call's answer says of it as a whole."""

    accepted: int
    rejected: int


read_bulk = msgspec.json.Decoder(Bulk).decode


def recipient(number: int, prefixes: Sequence[str] = ("+3361",)) -> str:
    """The recipient of the message `number`: distinct for ten million a prefix."""
    return f"{prefixes[number % len(prefixes)]}{number % 10_000_000:07d}"


def message(number: int, *, run: str, prefixes: Sequence[str] = ("+3361",)) -> str:
    """The JSON of one message."""
    return (
        f'{{"to":"{recipient(number, prefixes)}","from":"ACME","clientMessageId":"{run}-{number}",'
        f'"content":{{"text":"Your order {number:06d} has left our house and arrives tomorrow."}}}}'
    )


def request(*, port: int, key: str, path: str, body: str) -> bytes:
    """A POST with its body."""
    content = body.encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode() + content


def requests(job: Job) -> Iterator[bytes]:
    """The calls of a job, in order."""
    end = job.first + job.count
    for start in range(job.first, end, job.per_call):
        numbers = range(start, min(start + job.per_call, end))
        items = [message(number, run=job.run, prefixes=job.prefixes) for number in numbers]
        if job.per_call == 1:
            path, body = SINGLE_PATH, items[0]
        else:
            path, body = BULK_PATH, f'{{"messages":[{",".join(items)}]}}'
        yield request(port=job.port, key=job.key, path=path, body=body)


class Drive:
    """Sends calls over several connections until each has its answer.

    Args:
        on_answer: called with (number of the call, status, body) for each call's final answer.
    """

    def __init__(
        self,
        calls: Sequence[bytes],
        *,
        port: int,
        connections: int,
        rate: float | None = None,
        on_answer: Callable[[int, int, bytes], None] | None = None,
    ) -> None:
        self.calls, self.port = calls, port
        self.latencies = array("d", bytes(8 * len(calls)))
        self.answered_at = array("d", bytes(8 * len(calls)))
        self.statuses: Counter[int] = Counter()
        self.repeated = 0
        self._connections, self._rate, self._on_answer = connections, rate, on_answer
        self._waiting = deque(range(len(calls))) if rate is None else deque()
        self._due = array("d", bytes(8 * len(calls)))
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._unanswered = len(calls)
        self._progress = 0.0
        self._over = False

    async def run(self) -> tuple[float, float]:
        """Send everything; the moments of the first call and of the last answer (seconds since the epoch).

        Raises:
            LoadError: the server cannot be reached or is silent for 60 s.
        """
        loop = asyncio.get_running_loop()
        self._loop, self._done = loop, loop.create_future()
        if not self.calls:
            return time.time(), time.time()
        self._progress = loop.time()
        watch = loop.create_task(self._watch())
        try:
            opened = [await self.open() for _ in range(min(self._connections, len(self.calls)))]
            began = time.time()
            self._begin(opened)
            await self._done
        finally:
            watch.cancel()
            await self._close()
        return began, max(self.answered_at)

    async def _close(self) -> None:
        """End all connections, which takes a turn of the loop."""
        self._over = True
        for connection in self._open:
            connection.abort()
        await asyncio.sleep(0)

    async def open(self) -> "_Connection":
        """Raises LoadError when nobody listens."""
        try:
            _transport, connection = await self._loop.create_connection(
                lambda: _Connection(self), "127.0.0.1", self.port
            )
        except OSError as error:
            raise LoadError(f"Nothing answers on port {self.port}: {error}") from error
        self._open.add(connection)
        return connection

    def _begin(self, opened: Sequence["_Connection"]) -> None:
        if self._rate is None:
            for connection in opened:
                self.next(connection)
            return
        self._idle = list(opened)
        now = self._loop.time()
        for number in range(len(self.calls)):
            self._loop.call_at(now + number / self._rate, self._fall_due, number)

    def _fall_due(self, number: int) -> None:
        self._due[number] = time.time()
        self._waiting.append(number)
        if self._idle:
            self.next(self._idle.pop())

    def next(self, connection: "_Connection") -> None:
        """Send the connection's next call, if one waits."""
        if not self._waiting:
            self._idle.append(connection)
            return
        number = self._waiting.popleft()
        if not self._due[number]:
            self._due[number] = time.time()
        connection.send(number, self.calls[number])

    def answered(self, connection: "_Connection", number: int, status: int, body: bytes) -> None:
        self._progress = self._loop.time()
        if status in LATER:
            self.repeated += 1
            self._waiting.append(number)
            self._loop.call_later(PAUSE_SECONDS, self.next, connection)
            return
        now = time.time()
        self.answered_at[number] = now
        self.latencies[number] = now - self._due[number]
        self.statuses[status] += 1
        if self._on_answer is not None:
            self._on_answer(number, status, body)
        self._unanswered -= 1
        if self._unanswered:
            self.next(connection)
        elif not self._done.done():
            self._done.set_result(None)

    def lost(self, connection: "_Connection", number: int | None) -> None:
        """A connection ended; its unanswered call goes again on a new one."""
        self._open.discard(connection)
        if self._over:
            return
        if connection in self._idle:
            self._idle.remove(connection)
        if number is not None:
            self.repeated += 1
            self._waiting.appendleft(number)
        self._loop.call_later(PAUSE_SECONDS, lambda: self._loop.create_task(self._replace()))

    async def _replace(self) -> None:
        while not self._over:
            try:
                self.next(await self.open())
            except LoadError:
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    def failed(self, text: str) -> None:
        if not self._done.done():
            self._done.set_exception(LoadError(text))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self._rate is None and self._loop.time() - self._progress > PATIENCE_SECONDS:
                self.failed(
                    f"No answer for {PATIENCE_SECONDS:.0f} s; {self._unanswered} calls are unanswered."
                )


class _Connection(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._number: int | None = None
        self._buffer = bytearray()
        self._needed = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, number: int, call: bytes) -> None:
        self._number = number
        if self._transport.is_closing():
            return  # connection_lost follows and sends it again
        self._transport.write(call)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self._needed:
            head_end = buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            length = _length.search(buffer, 0, head_end)
            if length is None:
                self._drive.failed(f"An answer without Content-Length: {bytes(buffer[:200])!r}")
                return
            self._needed = head_end + 4 + int(length[1])
        if len(buffer) < self._needed:
            return
        answer = bytes(buffer[: self._needed])
        del buffer[: self._needed]
        self._needed = 0
        number, self._number = self._number, None
        if number is not None:
            body = answer[answer.index(b"\r\n\r\n") + 4 :]
            self._drive.answered(self, number, int(answer[9:12]), body)

    def connection_lost(self, exc: Exception | None) -> None:
        number, self._number = self._number, None
        self._drive.lost(self, number)

    def abort(self) -> None:
        self._transport.abort()


async def submit(job: Job, calls: Sequence[bytes]) -> Result:
    """Send the prepared calls of a job; raises LoadError as `Drive.run` does."""
    result = Result()

    def count(_number: int, status: int, body: bytes) -> None:
        if job.per_call == 1:
            result.accepted += status == 200
        elif status == 200:
            result.accepted += read_bulk(body).accepted

    drive = Drive(calls, port=job.port, connections=job.connections, rate=job.rate, on_answer=count)
    result.began_at, result.ended_at = await drive.run()
    result.refused = job.count - result.accepted
    result.repeated = drive.repeated
    result.statuses = {str(status): number for status, number in sorted(drive.statuses.items())}
    result.latencies = drive.latencies.tolist()
    result.answered_at = drive.answered_at.tolist() if job.times else []
    return result


def new_loop() -> asyncio.AbstractEventLoop:
    """The one of uvloop where that is installed."""
    try:
        import uvloop  # optional: not every platform has it
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        while line := sys.stdin.readline():
            job = Job(**json.loads(line))
            calls = list(requests(job))
            # Nothing made so far is garbage, and a collection in mid-run would be taken for the server's delay.
            gc.collect()
            gc.freeze()
            _say({"ready": True})
            sys.stdin.readline()
            try:
                _say(dataclasses.asdict(runner.run(submit(job, calls))))
            except LoadError as error:
                _say({"error": str(error)})


if __name__ == "__main__":
    main()
