import threading
import time

import pytest
from standardwebhooks import Webhook as Oracle

from gateway import errors
from tests.fakes.http_listener import CLOSE, OK, Listener, closed_port, status
from tests.webhooks.hand import SECRET, make_destination, make_item
from webhooks import trial
from webhooks.client import Connector, Resolver


def run(listener, **fields):
    return trial.run(make_item(make_destination(listener.url(), **fields)))


def test_it_tells_what_came_of_a_callback_that_was_taken():
    with Listener(lambda _request: [0.05, status(202, body="très bien".encode())]) as listener:
        item = make_item(make_destination(listener.url()))
        verdict = trial.run(item)
        (request,) = listener.requests
    assert Oracle(SECRET).verify(request.body, request.headers)["type"] == "message.delivered"
    assert request.headers["webhook-id"] == item.event_id
    assert (verdict.status, verdict.outcome, verdict.error) == (202, "delivered", None)
    assert (verdict.body, verdict.body_length) == ("très bien", 10)
    assert (verdict.conforms, verdict.problems) == (True, [])
    assert 50 <= verdict.duration_ms < 1000


def test_it_allows_a_body_and_time_where_the_format_says_nothing_of_them(monkeypatch):
    monkeypatch.setattr(trial, "OCTOPUSH_SECONDS", 0.05)
    with Listener(lambda _request: [0.1, OK]) as listener:
        assert run(listener, format="messagemedia").conforms


@pytest.mark.parametrize(
    ("steps", "outcome", "code", "problem"),
    [
        ([status(404)], "status", 404, "The endpoint answered 404."),
        ([status(302, headers="Location: /there")], "redirect", 302, "Redirects are not followed."),
        ([status(410)], "gone", 410, "The endpoint says that it is gone."),
        ([b"220 smtp ready\r\n"], "protocol", None, "The answer is not HTTP/1.1."),
        ([CLOSE], "protocol", None, "The connection was closed before the answer was whole."),
        ([60.0], "timeout", None, "No whole answer within 0.3 s."),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", 60.0],
            "timeout",
            200,
            "No whole answer within 0.3 s.",
        ),
    ],
)
def test_it_names_what_is_wrong(steps, outcome, code, problem):
    with Listener(lambda _request: steps) as listener:
        verdict = run(listener, deadline=0.3)
        assert len(listener.requests) == 1
    assert (verdict.outcome, verdict.status, verdict.problems) == (outcome, code, [problem])
    assert not verdict.conforms


def test_it_says_that_nobody_listens():
    verdict = trial.run(make_item(make_destination(f"http://127.0.0.1:{closed_port()}/")))
    assert (verdict.outcome, verdict.status, verdict.body, verdict.conforms) == ("connect", None, None, False)


def test_it_connects_to_no_address_that_callbacks_may_not_reach(settings):
    settings.CALLBACK_ALLOWED_NETWORKS = []
    with Listener() as listener:
        verdict = run(listener)
        assert listener.connections == 0
    assert verdict.outcome == "blocked"
    assert verdict.problems == ["The host's address is not one that callbacks may reach."]


@pytest.mark.parametrize(
    ("steps", "problems"),
    [
        ([status(200)], []),
        ([status(204)], []),
        ([OK], ["The endpoint answered with a body, which this format does not allow."]),
        ([status(500)], ["The endpoint answered 500."]),
        (
            [status(500, body=b"<html>")],
            ["The endpoint answered 500.", "The answer has a body, which this format does not allow."],
        ),
    ],
)
def test_it_asks_for_an_empty_answer_in_octopushs_format(steps, problems):
    with Listener(lambda _request: steps) as listener:
        verdict = run(listener, format="octopush")
    assert verdict.problems == problems
    assert verdict.conforms is (problems == [])


def test_it_asks_for_an_answer_within_a_second_in_octopushs_format(monkeypatch):
    assert trial.OCTOPUSH_SECONDS == 1.0
    monkeypatch.setattr(trial, "OCTOPUSH_SECONDS", 0.2)
    with Listener(lambda _request: [0.25, status(200)]) as listener:
        verdict = run(listener, format="octopush", deadline=3.0)
    (problem,) = verdict.problems
    assert problem.startswith("The answer took 0.2")
    assert verdict.outcome == "delivered"


def test_it_tells_of_one_rule_when_the_deadline_is_that_second():
    with Listener(lambda _request: [60.0]) as listener:
        verdict = run(listener, format="octopush", deadline=0.2)
    assert verdict.problems == ["No whole answer within 0.2 s."]


def test_it_sends_an_array_of_one_where_several_go_together():
    with Listener() as listener:
        verdict = run(listener, batch_events=10, batch_seconds=60.0)
        (request,) = listener.requests
    assert verdict.conforms
    (element,) = Oracle(SECRET).verify(request.body, request.headers)
    assert request.headers["webhook-id"].startswith("batch_")
    assert element["id"]


def test_it_makes_no_request_of_a_body_that_could_not_be_rendered():
    with Listener() as listener:
        item = make_item(make_destination(listener.url()), unrendered="the template took too long")
        verdict = trial.run(item)
        assert listener.connections == 0
    assert (verdict.outcome, verdict.problems) == ("template", ["The template took too long."])


@pytest.mark.parametrize("slow", ["resolver", "answer"])
def test_it_ends_at_the_deadline(slow):
    blocked = threading.Event()

    def lookup(host, port):
        blocked.wait(5)
        return ["127.0.0.1"]

    drip = [b"HTTP/1.1 200 OK\r\n", *[step for _ in range(200) for step in (b"X", 0.02)]]
    with Listener(lambda _request: drip) as listener:
        url = listener.url() if slow == "answer" else "http://slow.test/"
        connector = Connector(resolver=Resolver(lookup=lookup)) if slow == "resolver" else None
        began = time.monotonic()
        verdict = trial.run(make_item(make_destination(url, deadline=0.3)), connector=connector)
        took = time.monotonic() - began
    blocked.set()
    assert verdict.outcome == "timeout"
    assert 0.29 < took < 1.3


def test_it_makes_so_many_calls_at_once_and_no_more():
    with Listener(lambda _request: [0.25, OK]) as listener:
        item = make_item(make_destination(listener.url()))
        threads = [threading.Thread(target=trial.run, args=(item,)) for _ in range(trial.MOST_AT_ONCE)]
        for thread in threads:
            thread.start()
        listener.wait_for(trial.MOST_AT_ONCE)
        with pytest.raises(errors.TooMany) as raised:
            trial.run(item)
        for thread in threads:
            thread.join()
        assert trial.run(item).conforms
    assert raised.value.retry_after == 1


def test_it_cuts_a_long_answer_and_says_how_much_of_it_was_read():
    with Listener(lambda _request: [status(200, body=b"x" * 30_000)]) as listener:
        verdict = run(listener)
    assert (len(verdict.body), verdict.body_length) == (16 * 1024, 30_000)
