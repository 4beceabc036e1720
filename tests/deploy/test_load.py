import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy import load

JOB = load.Job(port=0, key="k", run="r", count=0)


class Api(ThreadingHTTPServer):
    """Accepts messages; `refusals` statuses are answered first, `hang_ups` calls are not answered at all."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self.refusals, self.hang_ups, self.seen, self.paths = [], 0, Counter(), Counter()
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.paths[self.path] += 1
            if self.server.hang_ups:
                self.server.hang_ups -= 1
                self.close_connection = True
                return
            status = self.server.refusals.pop() if self.server.refusals else 200
            messages = body.get("messages", [body])
            if status == 200:
                self.server.seen.update(message["clientMessageId"] for message in messages)
        results = [{"index": index, "id": "0" * 36} for index in range(len(messages))]
        answer = json.dumps({"accepted": len(messages), "rejected": 0, "results": results}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def submit(api, **options):
    job = load.Job(port=api.port, key="k", run="r", **options)
    return asyncio.run(load.submit(job, list(load.requests(job))))


def test_it_submits_each_message_once_in_bulk(api):
    result = submit(api, count=2500, per_call=1000, connections=2)
    assert (result.accepted, result.refused, result.statuses) == (2500, 0, {"200": 3})
    assert api.seen == Counter(f"r-{number}" for number in range(2500))
    assert api.paths == {"/v1/messages/bulk": 3}
    assert len(result.latencies) == 3
    assert min(result.latencies) > 0
    assert result.began_at <= result.ended_at


def test_it_submits_each_message_once_alone(api):
    result = submit(api, count=300, first=1000, per_call=1, connections=16, times=True)
    assert result.accepted == 300
    assert api.seen == Counter(f"r-{number}" for number in range(1000, 1300))
    assert api.paths == {"/v1/messages": 300}
    assert all(result.began_at <= at <= result.ended_at for at in result.answered_at)


def test_it_sends_again_what_was_put_off(api):
    api.refusals = [429, 503]
    result = submit(api, count=20, per_call=1, connections=2)
    assert (result.accepted, result.repeated, result.statuses) == (20, 2, {"200": 20})


def test_it_sends_again_what_a_broken_connection_left_unanswered(api):
    api.hang_ups = 3
    result = submit(api, count=20, per_call=1, connections=2)
    assert (result.accepted, result.repeated) == (20, 3)
    assert api.seen == Counter(f"r-{number}" for number in range(20))


def test_it_counts_what_is_refused_for_good(api):
    api.refusals = [400]
    result = submit(api, count=5, per_call=1, connections=1)
    assert (result.accepted, result.refused, result.statuses) == (4, 1, {"200": 4, "400": 1})


def test_it_keeps_to_a_rate(api):
    result = submit(api, count=20, per_call=1, connections=4, rate=50, times=True)
    assert result.accepted == 20
    assert result.ended_at - result.began_at >= 19 / 50 - 0.01


def test_it_says_that_nobody_listens(api):
    job = load.Job(port=1, key="k", run="r", count=1)
    with pytest.raises(load.LoadError, match="Nothing answers on port 1"):
        asyncio.run(load.submit(job, list(load.requests(job))))


def test_it_works_as_a_process_on_orders(api):
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        for first in (0, 500):
            job = load.Job(port=api.port, key="k", run="r", count=500, first=first, per_call=100)
            process.stdin.write(json.dumps(asdict(job)) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == {"ready": True}
            assert api.seen.total() == first
            process.stdin.write("go\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["accepted"] == 500
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.parametrize("prefixes", [("+3361",), ("+3361", "+3362", "+3363", "+3366")])
def test_its_recipients_are_numbers_that_exist_and_differ(prefixes):
    from gateway import numbers

    made = [load.recipient(number, prefixes) for number in range(0, 1_000_000, 997)]
    assert len(set(made)) == len(made)
    assert [numbers.normalise(text) for text in made[:50]] == made[:50]
