"""An HTTP operator that answers slowly, wrongly, in drips, not at all, too much: nothing lost, nothing twice."""

import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from routing.contract import Verdict
from routing.transports import http_engine, http_pacing
from routing.transports.http_client import retry_after
from routing.transports.http_generic import HttpGenericTransport
from tests.fakes.http_listener import CLOSE, closed_port, status
from tests.fakes.http_operator import HttpOperator, accept, after, taken
from tests.routing.http_world import Answers, Changes, opened, operator, outbound, submit, wait

REFUSED, RETRY, UNKNOWN, ACCEPTED = Verdict.REFUSED, Verdict.RETRY, Verdict.UNKNOWN, Verdict.ACCEPTED


@pytest.fixture
def fake():
    with HttpOperator() as running:
        yield running


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    """Backoffs and pauses in hundredths of their length."""
    monkeypatch.setattr(http_pacing, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(http_pacing, "FIRST_BACKOFF", 0.02)


def once(*steps):
    """Do that with the first request, and accept the others."""
    return lambda request, number: steps if number == 1 else accept(request, number)


def test_it_sends_what_the_template_says_and_reads_the_id(fake):
    with opened(fake) as transport:
        message = outbound("Grüße")
        (outcome,) = submit(transport, [message])
    assert (outcome.verdict, outcome.remote_ids) == (ACCEPTED, ("M1",))
    (request,) = fake.requests
    assert (request.method, request.target) == ("POST", "/send")
    assert request.headers["content-type"] == "application/json"
    (body,) = fake.bodies()
    assert body == {"to": "+14155550101", "from": "ACME", "text": "Grüße", "ref": str(message.message_id)}


def test_it_keeps_its_window_full_and_no_fuller(fake):
    fake.play = after(0.05)
    with opened(fake, window=7) as transport:
        began = time.monotonic()
        outcomes = submit(transport, [outbound() for _ in range(70)])
        taken_seconds = time.monotonic() - began
    assert {outcome.verdict for outcome in outcomes} == {ACCEPTED}
    assert fake.most_busy == 7
    assert 0.5 <= taken_seconds < 3.0
    # One connection is the look whether it is there.
    assert fake.connections <= 8


def test_it_sends_in_order(fake):
    with opened(fake, window=1) as transport:
        submit(transport, [outbound(str(number)) for number in range(30)])
    assert [body["text"] for body in fake.bodies()] == [str(number) for number in range(30)]


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (400, REFUSED),
        (404, REFUSED),
        (408, RETRY),
        (500, UNKNOWN),
        (502, UNKNOWN),
        (503, RETRY),
        (504, UNKNOWN),
    ],
)
def test_it_reads_a_bare_status(fake, code, verdict):
    fake.play = lambda _request, _number: [status(code)]
    with opened(fake) as transport:
        (outcome,) = submit(transport, [outbound()])
    assert (outcome.verdict, outcome.code) == (verdict, f"HTTP {code}")


def test_it_does_not_follow_a_redirect(fake):
    fake.play = once(status(302, headers=f"Location: {fake.url('/elsewhere')}"))
    with opened(fake) as transport:
        (outcome,) = submit(transport, [outbound()])
        assert "302" in transport.state().detail["lastError"]
    assert outcome.verdict is ACCEPTED
    assert {request.target for request in fake.requests} == {"/send"}


@pytest.mark.parametrize(
    "steps",
    [
        [CLOSE],
        [0.02, CLOSE],
        [b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", CLOSE],
        [b"220 smtp.example ESMTP\r\n\r\n", CLOSE],
        [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, CLOSE],
    ],
    ids=["closed", "closed late", "half a head", "half a body", "no HTTP", "endless head"],
)
def test_it_does_not_know_what_came_of_a_request_without_an_answer(fake, steps):
    fake.play = lambda _request, _number: steps
    with opened(fake) as transport:
        (outcome,) = submit(transport, [outbound()])
        assert (outcome.verdict, outcome.code) == (UNKNOWN, "NO_ANSWER")
        assert transport.state().detail["lastError"]
        assert transport.state().up
    # Not sent again behind the ledger's back.
    assert len(fake.requests) == 1


def test_it_does_not_send_a_get_again_by_itself(fake):
    fake.play = lambda _request, number: accept(_request, number) if number == 1 else [CLOSE]
    with opened(fake, method="GET", body=None, url=fake.url("/send?to={{to}}")) as transport:
        assert submit(transport, [outbound()])[0].verdict is ACCEPTED
        assert submit(transport, [outbound()])[0].verdict is UNKNOWN
    assert len(fake.requests) == 2


@pytest.mark.parametrize(
    "drip",
    [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"],
    ids=["head", "body"],
)
def test_its_deadline_holds_against_an_answer_in_drips(fake, drip):
    fake.play = once(drip, *[0.05, b"y"] * 100)
    with opened(fake, timeout=0.4, connect_timeout=0.2) as transport:
        began = time.monotonic()
        (outcome,) = submit(transport, [outbound()])
        assert outcome.verdict is UNKNOWN
        assert 0.35 < time.monotonic() - began < 1.0
        assert submit(transport, [outbound()])[0].verdict is ACCEPTED


def test_it_reads_no_more_of_an_answer_than_it_must(fake):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    fake.play = once(head, *[chunk] * 400, b"0\r\n\r\n")
    with opened(fake) as transport:
        (outcome,) = submit(transport, [outbound()])
        assert outcome.verdict is UNKNOWN
        assert submit(transport, [outbound()])[0].verdict is ACCEPTED


def test_one_slow_answer_holds_up_no_other(fake):
    fake.play = once(0.6, status(200, body=taken(1)))
    with opened(fake, window=2) as transport:
        answers = Answers()
        transport.submit([outbound() for _ in range(21)], answers)
        assert len(answers.next(20, seconds=0.5)) == 20
        assert len(answers.next(1)) == 1


def test_it_pauses_for_all_when_the_operator_says_that_it_is_too_much(fake):
    fake.play = once(status(429, headers="Retry-After: 1"))
    with opened(fake, window=1) as transport:
        answers = Answers()
        transport.submit([outbound(str(number)) for number in range(5)], answers)
        fake.wait_for(1)
        wait(lambda: transport.state().paused_until)
        assert transport.state().paused_until - time.monotonic() == pytest.approx(1.0, abs=0.1)
        assert transport.state().up
        assert {outcome.verdict for outcome in answers.next(5)} == {ACCEPTED}
        assert transport.state().paused_until is None
    assert fake.requests[1].at - fake.requests[0].at >= 0.99
    # Order is kept: the one that was put off goes first.
    assert [body["text"] for body in fake.bodies()] == ["0", "0", "1", "2", "3", "4"]


def test_requests_that_were_under_way_together_make_one_pause(fake):
    fake.play = lambda request, number: [0.02, status(429)] if number <= 10 else accept(request, number)
    with opened(fake, window=10) as transport:
        outcomes = submit(transport, [outbound() for _ in range(10)])
        assert Counter(outcome.verdict for outcome in outcomes) == {ACCEPTED: 10}
    assert len(fake.requests) == 20
    assert fake.requests[10].at - fake.requests[0].at < 0.2


def test_a_503_with_a_time_pauses_and_one_without_puts_its_message_off(fake):
    fake.play = once(status(503, headers="Retry-After: 0"))
    with opened(fake) as transport:
        assert submit(transport, [outbound()])[0].verdict is ACCEPTED
        fake.play = lambda _request, _number: [status(503)]
        assert submit(transport, [outbound()])[0].verdict is RETRY


def test_a_message_that_is_always_too_much_goes_back_to_the_ledger(fake):
    fake.play = lambda _request, _number: [status(429, headers="Retry-After: 0")]
    with opened(fake) as transport:
        (outcome,) = submit(transport, [outbound()])
    assert (outcome.verdict, outcome.code) == (RETRY, "HTTP 429")
    assert len(fake.requests) == http_engine.MOST_PAUSES


def test_what_waits_for_a_long_pause_is_given_back(fake, monkeypatch):
    monkeypatch.setattr(http_engine, "PATIENCE_SECONDS", 0.1)
    fake.play = lambda _request, _number: [status(429, headers="Retry-After: 60")]
    with opened(fake, window=1) as transport:
        outcomes = submit(transport, [outbound() for _ in range(5)])
        assert {outcome.verdict for outcome in outcomes} == {RETRY}
        # So is what comes later.
        assert submit(transport, [outbound()])[0].verdict is RETRY
    assert len(fake.requests) == 1


def test_it_is_down_while_nobody_listens_and_keeps_nothing_for_ever(monkeypatch):
    monkeypatch.setattr(http_engine, "PATIENCE_SECONDS", 0.1)
    transport = HttpGenericTransport(operator({"url": f"http://127.0.0.1:{closed_port()}/"}))
    transport.start(sink=Changes())
    try:
        (outcome,) = submit(transport, [outbound()])
        assert outcome.verdict is RETRY
        assert not transport.state().up
        assert "no connection" in transport.state().detail["lastError"]
    finally:
        transport.stop(deadline=1)


def test_it_goes_down_when_its_connections_fail_and_comes_back():
    with HttpOperator() as first:
        account, port = first.account(), first.port
        transport = HttpGenericTransport(operator(account))
        sink = Changes()
        transport.start(sink=sink)
        wait(lambda: transport.state().up)
        assert submit(transport, [outbound()])[0].verdict is ACCEPTED
    answers = Answers()
    try:
        transport.submit([outbound() for _ in range(5)], answers)
        wait(lambda: not transport.state().up)
        changes = sink.count
        with HttpOperator(port=port) as second:
            # What was on no connection yet goes out now.
            assert {outcome.verdict for outcome in answers.next(5)} <= {ACCEPTED, UNKNOWN}
            assert second.requests
            assert transport.state().up
            assert sink.count > changes
    finally:
        transport.stop(deadline=1)


def test_it_is_down_while_its_credentials_are_refused_and_asks_one_message_at_a_time(fake):
    fake.play = lambda request, number: [status(401)] if number <= 3 else accept(request, number)
    with opened(fake, window=3) as transport:
        answers = Answers()
        transport.submit([outbound() for _ in range(6)], answers)
        assert {outcome.verdict for outcome in answers.next(6)} == {ACCEPTED}
    assert len(fake.requests) == 9
    # After the refusals, one; when that was answered, the others.
    assert fake.requests[4].at > fake.requests[3].at


def test_it_keeps_the_rate_after_a_pause(fake):
    fake.play = once(status(429, headers="Retry-After: 0"))
    with opened(fake, rate=50.0) as transport:
        began = time.monotonic()
        messages = [outbound(not_before=began) for _ in range(40)]
        submit(transport, messages)
        # A tenth of a second's worth may be caught up with.
        assert time.monotonic() - began >= 0.65


def test_a_message_whose_time_is_over_is_not_sent(fake):
    late = outbound(expires_at=datetime.now(tz=UTC) - timedelta(seconds=1))
    with opened(fake) as transport:
        assert submit(transport, [late])[0].verdict is RETRY
    assert not fake.requests


def test_a_message_without_text_is_refused_where_the_template_shows_it(fake):
    with opened(fake) as transport:
        (outcome,) = submit(
            transport, [outbound(None, content={"media": {"url": "https://x.example/a.png"}})]
        )
    assert (outcome.verdict, outcome.error_code) == (REFUSED, "UNENCODABLE")
    assert not fake.requests


def test_one_message_that_breaks_it_breaks_no_other(fake, monkeypatch):
    fill = HttpGenericTransport.request

    def breaks(self, message):
        return 1 / 0 if message.text == "bad" else fill(self, message)

    monkeypatch.setattr(HttpGenericTransport, "request", breaks)
    with opened(fake, window=1) as transport:
        outcomes = submit(transport, [outbound(text) for text in ("one", "bad", "two")])
    assert [outcome.verdict for outcome in outcomes] == [ACCEPTED, REFUSED, ACCEPTED]


def test_it_takes_back_what_it_has_not_sent_only(fake):
    fake.play = after(0.3)
    messages = [outbound() for _ in range(5)]
    with opened(fake, window=2) as transport:
        answers = Answers()
        transport.submit(messages, answers)
        fake.wait_for(2)
        assert transport.withdraw([m.delivery_id for m in messages]) == [m.delivery_id for m in messages[2:]]
        assert {o.delivery_id for o in answers.next(2)} == {m.delivery_id for m in messages[:2]}
        assert answers.none_within(0.1)
    assert len(fake.requests) == 2


def test_stopping_waits_for_answers_and_gives_back_the_rest(fake):
    fake.play = after(0.3)
    with opened(fake, window=2) as transport:
        answers = Answers()
        transport.submit([outbound() for _ in range(5)], answers)
        fake.wait_for(2)
        transport.stop(deadline=2)
        assert Counter(o.verdict for o in answers.next(5)) == {ACCEPTED: 2, RETRY: 3}
        assert not transport.state().up
        assert submit(transport, [outbound()])[0].verdict is RETRY


def test_stopping_does_not_wait_longer_than_it_may(fake):
    fake.play = after(30)
    with opened(fake, timeout=60) as transport:
        answers = Answers()
        transport.submit([outbound()], answers)
        fake.wait_for(1)
        began = time.monotonic()
        transport.stop(deadline=0.2)
        assert time.monotonic() - began < 1.0
        (outcome,) = answers.next(1)
        assert (outcome.verdict, outcome.code) == (UNKNOWN, "STOPPED")


def test_operators_of_one_process_share_a_thread(fake):
    with opened(fake) as one, opened(fake) as other:
        submit(one, [outbound()])
        submit(other, [outbound()])
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("http operators") == 1


def test_many_tasks_may_submit_at_once(fake, together):
    with opened(fake) as transport:
        found = together(lambda _number: submit(transport, [outbound() for _ in range(50)]), 4)
    ids = [outcome.remote_ids for outcomes in found for outcome in outcomes]
    assert len(ids) == len(set(ids)) == 200


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_it_reads_retry_after(given, seconds):
    assert retry_after(given, now=NOW) == seconds
