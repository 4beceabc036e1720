import asyncio
import base64
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook

from deploy import child, demo, load

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


class Platform(ThreadingHTTPServer):
    """Accepts messages and reports each as sent and delivered, but for what `spoil` makes of a callback.

    `spoil(type, number)` answers how often it is sent; a negative number is as often with a wrong signature.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self.webhooks, self.wishes, self.deleted = {}, [], []
        self.refused = 0
        self.spoil = lambda _type, _number: 1
        self.accepted = queue.SimpleQueue()

    def report(self):
        while (messages := self.accepted.get()) is not None:
            for webhook in list(self.webhooks.values()):
                with contextlib.closing(HTTPConnection(urlsplit(webhook["url"]).netloc)) as connection:
                    for message in messages:
                        self.send(connection, message)

    def send(self, connection, message):
        for kind in ("message.sent", "message.delivered"):
            times = self.spoil(kind, int(message["clientMessageId"].rpartition("-")[2]))
            at = datetime.now(tz=UTC)
            data = {**message, "occurredAt": at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
            body, name = json.dumps({"type": kind, "data": data}), uuid.uuid4().hex
            secret = SECRET if times >= 0 else "whsec_" + base64.b64encode(bytes(24)).decode()
            headers = {
                "webhook-id": name,
                "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": Webhook(secret).sign(name, at, body),
            }
            for _ in range(abs(times)):
                connection.request("POST", "/", body, headers)
                connection.getresponse().read()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/webhooks/messages":
            self.server.wishes.append(body)
            self.server.webhooks["w1"] = body
            return self.answer(201, {"id": "w1", "secret": SECRET})
        if self.server.refused:
            return self.answer(400, {"message": "no"})
        messages = [
            {"id": str(uuid.UUID(int=int(time.time() * 1000) << 80 | index)), **message}
            for index, message in enumerate(body.get("messages", [body]))
        ]
        self.server.accepted.put(messages)
        return self.answer(200, {"accepted": len(messages), "rejected": 0})

    def do_DELETE(self):
        self.server.deleted.append(self.path.rpartition("/")[2])
        self.server.webhooks.clear()
        self.answer(204, None)

    def answer(self, status, members):
        content = b"" if members is None else json.dumps(members).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def platform(monkeypatch):
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(demo, "GRACE_SECONDS", 0.1)
    with Platform() as server:
        threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}),
            threading.Thread(target=server.report),
        ]
        for thread in threads:
            thread.start()
        yield server
        server.accepted.put(None)
        server.shutdown()
        for thread in threads:
            thread.join()


def run(platform, count=50, **options):
    running = demo.Running(platform.port, "key")
    return asyncio.run(
        demo.run(running, **{"count": count, "single": False, "show": lambda _account: None, **options})
    )


def home_of(platform, folder):
    (folder / "state.json").write_text(json.dumps({"port": platform.port, "pids": {"smsc": 1}}))
    (folder / "demo.json").write_text(json.dumps({"apiKey": "key"}))
    return {**os.environ, "TRUNKLINE_HOME": str(folder)}


def started(environment, *arguments):
    return subprocess.Popen(
        # Takes SIGINT even where a shell has set it to be ignored.
        child.command([sys.executable, "-m", "deploy.demo", *arguments]),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("single", [False, True])
def test_it_accounts_for_every_message(platform, single):
    seen = []
    report = run(platform, single=single, show=lambda account: seen.append(account.callbacks))
    account = report.account
    assert report.right
    assert (account.accepted, len(account.sent), account.delivered, account.callbacks) == (50, 50, 50, 100)
    assert (account.lost, account.doubled, report.received.refused) == (0, 0, 0)
    assert all(report.account.stages().values())
    assert 0 < report.seconds < 10
    assert seen[-1] == 100


def test_it_asks_for_the_events_of_a_message_s_way_and_deletes_its_webhook(platform):
    run(platform, count=1)
    assert platform.wishes[0]["events"] == list(demo.EVENTS)
    assert platform.deleted == ["w1"]


def test_it_says_that_a_message_was_lost(platform):
    platform.spoil = lambda kind, number: 0 if (kind, number) == ("message.delivered", 7) else 1
    report = run(platform)
    assert (report.complete, report.right, report.account.lost) == (False, False, 1)
    assert platform.deleted == ["w1"]


def test_it_says_that_an_event_came_twice(platform):
    platform.spoil = lambda kind, number: 2 if number == 3 else 1
    report = run(platform)
    assert (report.complete, report.right, report.account.doubled, report.received.duplicates) == (
        True,
        False,
        2,
        2,
    )


def test_it_refuses_a_wrong_signature(platform):
    platform.spoil = lambda kind, number: -1 if number == 3 else 1
    report = run(platform)
    assert (report.right, report.account.lost, report.received.refused) == (False, 1, 2)


def test_it_is_not_content_with_messages_that_were_refused(platform):
    platform.refused = 1
    report = run(platform)
    assert (report.complete, report.right, report.account.accepted) == (True, False, 0)


def test_it_ends_with_a_table_and_0(platform, tmp_path):
    with started(home_of(platform, tmp_path), "30") as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    for word in ("accepted", "sent", "delivered", "callbacks verified", "lost", "duplicated", "p99"):
        assert word in output


def test_it_deletes_its_webhook_when_it_is_interrupted(platform, tmp_path):
    platform.spoil = lambda kind, number: 0
    with started(home_of(platform, tmp_path), "5") as process:
        deadline = time.monotonic() + 15
        while not platform.wishes and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
    assert (process.returncode, platform.deleted) == (130, ["w1"])


@pytest.mark.parametrize(
    ("state", "word"), [(None, "start `make run`"), ({"port": 1, "pids": {}}, "without DEMO=0")]
)
def test_it_says_what_to_start(tmp_path, state, word):
    if state:
        (tmp_path / "state.json").write_text(json.dumps(state))
    with started({**os.environ, "TRUNKLINE_HOME": str(tmp_path)}) as process:
        _output, errors = process.communicate(timeout=15)
    assert process.returncode == 1
    assert word in errors


def test_it_reads_a_message_s_moment_from_its_id():
    assert demo.moment("01a1fc40-c973-7360-b382-e46aa5397c1c") == pytest.approx(0x01A1FC40C973 / 1000)


def test_it_cannot_run_against_an_api_that_is_away():
    with pytest.raises((demo.DemoError, load.LoadError)):
        asyncio.run(demo.run(demo.Running(1, "key"), count=1, single=False, show=lambda _account: None))
