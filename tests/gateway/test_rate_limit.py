"""A key's rate: exact whoever asks, cheap when nobody is near it, and never the reason for an outage."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from config import env
from gateway import buckets, errors, keys, throttling
from gateway.api import authentication
from gateway.models import Bucket
from tests.factories import Caller, make_tenant, message

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _anew(db):
    yield
    throttling.forget()


@pytest.fixture
def key_id(request) -> int:
    """A key that no other test has; its bucket is committed by the throttle's own connection."""
    return -abs(hash((request.node.nodeid, time.monotonic_ns()))) % 2**40


def another_session() -> psycopg.Connection:
    return throttling._connect()


def test_allows_the_burst_at_once_and_then_the_rate(key_id):
    took = [throttling.take(key_id=key_id, rate=5.0, burst=2) for _ in range(4)]
    assert [standing.wait is None for standing in took] == [True, True, False, False]
    assert [standing.remaining for standing in took] == [1, 0, 0, 0]
    assert [standing.limit for standing in took] == [5] * 4
    assert [standing.reset for standing in took] == [1] * 4
    assert 0 < took[2].wait <= 0.2
    time.sleep(took[3].wait)
    assert throttling.take(key_id=key_id, rate=5.0, burst=2).wait is None
    assert throttling.take(key_id=key_id, rate=5.0, burst=2).wait is not None


def test_is_exact_for_fifty_threads(key_id, together):
    start = time.monotonic()

    def hammer(_number):
        passed = []
        while time.monotonic() < start + 2.1:
            if throttling.take(key_id=key_id, rate=5.0, burst=2).wait is None:
                passed.append(time.monotonic())
            time.sleep(0.004)
        return passed

    passed = sorted(moment for moments in together(hammer, 50) for moment in moments)
    assert throttling.failures() == 0
    assert len(passed) <= 2 + 5 * (passed[-1] - start)
    # Nobody was so late that a token was lost.
    assert len(passed) >= 11


HAMMER = """
import sys, time, django
django.setup()
from gateway import throttling
key = int(sys.argv[1])
throttling.take(key_id=key - 1, rate=1.0, burst=1)
print("ready", flush=True)
start = float(input())
for number, (rate, burst, pause) in enumerate([(5.0, 2, 0.002), (2000.0, 1000, 0.0)]):
    passed, last, begin = 0, 0.0, start + number * 1.1
    time.sleep(max(0, begin - time.time()))
    while time.time() < begin + 1.0:
        if throttling.take(key_id=key + number, rate=rate, burst=burst).wait is None:
            passed, last = passed + 1, time.time() - begin
        time.sleep(pause)
    print(passed, last)
print(throttling.failures())
"""


def test_is_shared_by_processes(key_id):
    url = urlsplit(env.database_url())._replace(path="/" + connection.settings_dict["NAME"]).geturl()
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, str(key_id)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    start = time.time() + 0.1
    answers = [process.communicate(f"{start}\n", timeout=30)[0].split() for process in processes]
    slow, fast, unchecked = (sum(int(answer[place]) for answer in answers) for place in (0, 2, 4))
    slow_ended, fast_ended = (max(float(answer[place]) for answer in answers) for place in (1, 3))
    assert unchecked == 0
    assert 5 <= slow <= 2 + 5 * slow_ended
    assert 2500 <= fast <= 1000 + 2000 * fast_ended


def test_gives_a_forked_process_a_connection_of_its_own(key_id):
    assert throttling.take(key_id=key_id, rate=0.01, burst=2).wait is None
    child = os.fork()
    if child == 0:
        took = throttling.take(key_id=key_id, rate=0.01, burst=2)
        os._exit(0 if took.wait is None and took.remaining == 0 and not throttling.failures() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert throttling.take(key_id=key_id, rate=0.01, burst=2).wait is not None
    assert throttling.failures() == 0


def test_takes_nothing_for_a_refused_request(key_id):
    for _ in range(2):
        throttling.take(key_id=key_id, rate=0.5, burst=2)
    due = Bucket.objects.get(key=f"key:{key_id}").theoretical_at
    for _ in range(20):
        throttling._throttle._buckets.clear()
        assert throttling.take(key_id=key_id, rate=0.5, burst=2).wait is not None
    assert Bucket.objects.get(key=f"key:{key_id}").theoretical_at == due


def test_asks_the_store_once_for_requests_that_come_together(key_id, together, monkeypatch):
    asked = []
    take = buckets.take

    def slow(*, store, asks):
        asked.append(asks)
        time.sleep(0.05)
        return take(store=store, asks=asks)

    monkeypatch.setattr(buckets, "take", slow)
    took = together(lambda number: throttling.take(key_id=key_id + number % 3, rate=0.01, burst=4), 24)
    assert sum(standing.wait is None for standing in took) == 12
    assert len(asked) <= 4
    assert sum(ask.tokens for asks in asked for ask in asks) == 24


def test_asks_the_store_rarely_for_a_fast_key(key_id, monkeypatch):
    asked = []
    take = buckets.take

    def counted(*, store, asks):
        asked.extend(asks)
        return take(store=store, asks=asks)

    monkeypatch.setattr(buckets, "take", counted)
    standings = [throttling.take(key_id=key_id, rate=10_000.0, burst=10_000) for _ in range(200)]
    assert all(standing.wait is None for standing in standings)
    assert all(9_700 <= standing.remaining <= 10_000 for standing in standings)
    assert len(asked) < 20


def test_gives_back_what_a_fast_key_did_not_use(key_id):
    throttling.take(key_id=key_id, rate=1000.0, burst=500)
    time.sleep(throttling._USABLE + 0.01)
    bucket = throttling._throttle._buckets[key_id]
    assert bucket._held == 5
    assert bucket.draw(time.monotonic()) is None
    assert bucket.ask(1, time.monotonic()).back == 5
    assert bucket.ask(1, time.monotonic()).back == 0


def test_forgets_a_debt_of_a_slower_rate(key_id):
    for _ in range(3):
        throttling.take(key_id=key_id, rate=0.01, burst=2)
    assert throttling.take(key_id=key_id, rate=100.0, burst=1).wait <= 0.01
    time.sleep(0.02)
    assert throttling.take(key_id=key_id, rate=100.0, burst=1).wait is None


def test_lets_requests_through_while_the_buckets_are_locked(key_id, caplog, monkeypatch):
    monkeypatch.setattr(throttling, "_RETRY_EVERY", 0.05)
    assert throttling.take(key_id=key_id, rate=0.01, burst=1).wait is None
    assert throttling.take(key_id=key_id, rate=0.01, burst=1).wait is not None
    throttling._throttle._buckets.clear()
    other = another_session()
    with other, other.transaction():
        other.execute("LOCK TABLE gateway_bucket IN ACCESS EXCLUSIVE MODE")
        start = time.monotonic()
        assert throttling.take(key_id=key_id, rate=0.01, burst=1).wait is None
        assert 0.2 < time.monotonic() - start < 1.0
        start = time.monotonic()
        for _ in range(1000):
            assert throttling.take(key_id=key_id, rate=0.01, burst=1) == (1, 1, 0, None)
        assert time.monotonic() - start < 0.2
    assert throttling.failures() == 1001
    assert "throttling.away" in caplog.text
    wait_until_up()
    assert throttling.take(key_id=key_id, rate=0.01, burst=1).wait is not None


def test_reconnects_when_its_connection_is_gone(key_id, monkeypatch):
    monkeypatch.setattr(throttling, "_RETRY_EVERY", 0.05)
    throttling.take(key_id=key_id, rate=0.01, burst=2)
    pid = throttling._throttle._store._connection.info.backend_pid
    with another_session() as other:
        other.execute("SELECT pg_terminate_backend(%s, 1000)", [pid])
    assert throttling.take(key_id=key_id, rate=0.01, burst=2).wait is None
    wait_until_up()
    assert throttling.take(key_id=key_id, rate=0.01, burst=2).remaining == 0
    assert throttling.failures() == 1


def test_lets_requests_through_while_there_is_no_database(key_id, monkeypatch):
    monkeypatch.setattr(throttling, "_RETRY_EVERY", 0.05)
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "HOST", "/nowhere")
        assert throttling.take(key_id=key_id, rate=0.01, burst=1).wait is None
        assert throttling.failures() == 1


def wait_until_up() -> None:
    deadline = time.monotonic() + 5
    while not throttling._throttle._store.up:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def standing_of(answer) -> tuple[str, str, str]:
    return tuple(answer.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset"))


def test_is_told_on_every_answer(db):
    caller = Caller(make_tenant("acme"), rate=0.04, burst=6)
    answers = [
        caller.post("/v1/messages", message()),
        caller.send("POST", "/v1/messages", b"{"),
        caller.get("/v1/messages/nothing"),
        caller.send("DELETE", "/v1/messages"),
        caller.post("/v1/messages", message(), x_developer_mode="perhaps"),
        caller.post("/v1/messages/bulk", {"messages": [message(), message(), message()]}),
        caller.post("/v1/messages", message()),
    ]
    assert [answer.status for answer in answers] == [200, 400, 404, 405, 400, 200, 429]
    standings = [tuple(map(int, standing_of(answer))) for answer in answers]
    assert [standing[:2] for standing in standings] == [(1, left) for left in (5, 4, 3, 2, 1, 0, 0)]
    for taken, (_, _, reset) in zip((1, 2, 3, 4, 5, 6, 6), standings, strict=True):
        assert 25 * taken - 10 < reset <= 25 * taken
    refused = answers[-1]
    assert (refused.code, refused.json["retryable"]) == ("RATE_LIMITED", True)
    assert 15 < int(refused.headers["Retry-After"]) <= 25


def test_is_told_to_a_key_without_the_permission(db):
    caller = Caller(make_tenant("acme"), permissions=["reports:read"], rate=1, burst=1)
    assert standing_of(caller.post("/v1/messages", message())) == ("1", "0", "1")
    refused = caller.post("/v1/messages", message())
    assert (refused.status, refused.code) == (429, "RATE_LIMITED")


def test_is_not_for_whom_it_does_not_know(acme, other):
    for answer in (
        acme.get("/v1/messages", authorization="Bearer x"),
        acme.get("/v1/error-codes"),
        acme.get("/v1/nowhere"),
    ):
        assert "RateLimit-Limit" not in answer.headers


def test_counts_each_key_for_itself_and_both_modes_together(db):
    tenant = make_tenant("acme")
    first, second = (Caller(tenant, name=name, rate=0.1, burst=2) for name in ("one", "two"))
    assert first.get("/v1/messages").status == 200
    assert first.get("/v1/messages", x_developer_mode="true").status == 200
    assert first.get("/v1/messages").status == 429
    assert second.get("/v1/messages").status == 200


@pytest.mark.parametrize(
    ("rate", "burst", "platform", "expected"),
    [
        (None, None, (10_000.0, 0), (10_000.0, 10_000)),
        (None, None, (50.0, 7), (50.0, 7)),
        (None, None, (0.0, 7), (None, 1)),
        (5.0, 2, (50.0, 7), (5.0, 2)),
        (2.5, None, (50.0, 7), (2.5, 3)),
        (0.1, None, (0.0, 0), (0.1, 1)),
    ],
)
def test_falls_back_to_the_platform_s(db, settings, rate, burst, platform, expected):
    settings.KEY_RATE, settings.KEY_BURST = platform
    api_key, _ = keys.issue(tenant=make_tenant("acme"), name="one", rate=rate, burst=burst)
    found = keys.find(api_key)
    assert (found.rate, found.burst) == expected


@pytest.mark.parametrize("given", ["-1", "nan", "1000001"])
def test_cannot_be_set_to_what_makes_no_sense(given, monkeypatch):
    monkeypatch.setenv("KEY_RATE", given)
    with pytest.raises(ImproperlyConfigured, match="KEY_RATE"):
        env.bounded_number("KEY_RATE", 10_000)


def test_is_not_told_when_there_is_none(acme, settings):
    settings.KEY_RATE = 0.0
    answer = acme.post("/v1/messages", message())
    assert answer.status == 200
    assert "RateLimit-Limit" not in answer.headers


def test_needs_no_query_of_the_request_s_own(acme, django_assert_num_queries):
    acme.get("/v1/messages/x")
    with django_assert_num_queries(0):
        assert acme.get("/v1/messages/x").headers["RateLimit-Limit"] == "10000"


def test_never_says_to_come_back_at_once(acme, monkeypatch):
    refusal = throttling.Standing(1, 0, 1, 0.0001)
    monkeypatch.setattr(throttling, "take", lambda **_key: refusal)
    headers: dict[str, str] = {}
    with pytest.raises(errors.RateLimited) as caught:
        authentication.throttle(keys.find(acme.api_key), headers)
    assert caught.value.retry_after == 1
    assert json.loads(headers["RateLimit-Remaining"]) == 0
