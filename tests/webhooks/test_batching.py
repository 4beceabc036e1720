import json
import random
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook as Oracle

from tests.fakes.http_listener import OK, Listener, closed_port, status
from tests.webhooks.hand import SECRET, Hand, make_destination, make_item
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import batching, fanout, targets
from webhooks.models import Attempt, Callback, DueCallback


@pytest.fixture
def hand():
    with Hand() as made:
        yield made


def batching_destination(listener, events=10, seconds=0.1, **fields):
    return make_destination(listener.url(), batch_events=events, batch_seconds=seconds, **fields)


def test_it_sends_as_many_as_it_may_in_one_request_signed_as_a_whole(hand):
    with Listener() as listener:
        destination = batching_destination(listener, 5, 30.0)
        items = [make_item(destination) for _ in range(5)]
        hand.dispatcher.take(items)
        reports = hand.wait_for(5)
        (request,) = listener.wait_for(1)
    elements = Oracle(SECRET).verify(request.body, request.headers)
    assert [element["id"] for element in elements] == [item.event_id for item in items]
    assert [list(element) for element in elements] == [["id", "type", "timestamp", "data"]] * 5
    assert [element["data"] for element in elements] == [json.loads(item.body)["data"] for item in items]
    assert request.headers["webhook-id"].startswith("batch_")
    assert request.headers["content-type"].startswith("application/json")
    assert {item.batch for item in items} == {request.headers["webhook-id"]}
    assert {outcome.word for _item, outcome, _took in reports} == {"delivered"}
    assert len({item.started for item in items}) == 1


def test_it_sends_what_there_is_once_the_oldest_has_waited_for_long_enough(hand):
    with Listener() as listener:
        began = time.monotonic()
        hand.dispatcher.take([make_item(batching_destination(listener, 100, 0.3))])
        hand.wait_for(1)
        (request,) = listener.requests
    assert 0.29 < request.at - began < 1.0
    assert len(json.loads(request.body)) == 1
    assert request.headers["webhook-id"].startswith("batch_")


def test_it_counts_the_delay_from_the_oldest_not_from_the_newest(hand):
    with Listener() as listener:
        destination = batching_destination(listener, 100, 0.3)
        began = time.monotonic()
        for _ in range(4):
            hand.dispatcher.take([make_item(destination)])
            time.sleep(0.06)
        hand.wait_for(4)
        (request,) = listener.requests
    assert request.at - began < 0.45
    assert len(json.loads(request.body)) == 4


def test_it_gives_the_same_events_the_same_id_in_whatever_order_they_come_again(hand):
    answers = iter([[status(500)], [OK]])
    with Listener(lambda _request: next(answers)) as listener:
        destination = batching_destination(listener, 6, 30.0)
        items = [make_item(destination) for _ in range(6)]
        hand.dispatcher.take(items)
        first = hand.wait_for(6)
        again = [
            make_item(
                destination, event_id=item.event_id, body=item.body, attempt=1, first_attempt_at=moment(item)
            )
            for item, _outcome, _took in first
        ]
        random.Random(7).shuffle(again)
        hand.dispatcher.take(again)
        hand.wait_for(12)
        one, other = listener.requests
    assert one.headers["webhook-id"] == other.headers["webhook-id"]
    assert one.body == other.body
    assert {outcome.status for _item, outcome, _took in first} == {500}


def moment(item):
    """When the attempt began, as the row has it."""
    return datetime.fromtimestamp(item.started, tz=UTC)


def test_it_keeps_what_failed_together_apart_from_what_is_new(hand):
    with Listener() as listener:
        destination = batching_destination(listener, 100, 0.1)
        failed = datetime.now(tz=UTC)
        old = [make_item(destination, attempt=1, first_attempt_at=failed) for _ in range(3)]
        new = [make_item(destination) for _ in range(4)]
        mixed = [*old, *new]
        random.Random(3).shuffle(mixed)
        hand.dispatcher.take(mixed)
        hand.wait_for(7)
        sent = {frozenset(element["id"] for element in json.loads(r.body)) for r in listener.requests}
    assert sent == {frozenset(item.event_id for item in group) for group in (old, new)}


def test_it_puts_only_callbacks_to_the_same_target_together(hand):
    with Listener() as listener:
        destination = batching_destination(listener, 100, 0.05)
        elsewhere = targets.read(url=listener.url("/hook?x=1"))
        hand.dispatcher.take(
            [make_item(destination), make_item(destination, target=elsewhere), make_item(destination)]
        )
        hand.wait_for(3)
        sent = sorted((request.target, len(json.loads(request.body))) for request in listener.requests)
    assert sent == [("/hook", 2), ("/hook?x=1", 1)]


def test_it_sends_no_more_than_a_mebibyte_at_once_unless_one_event_is_that_long(hand):
    with Listener() as listener:
        destination = batching_destination(listener, 1000, 0.1)
        long = b'{"type":"t","data":"%b"}' % (b"x" * 300_000)
        longer = b'{"type":"t","data":"%b"}' % (b"x" * 1_100_000)
        items = [make_item(destination, body=long) for _ in range(7)]
        hand.dispatcher.take([*items, make_item(destination, body=longer)])
        hand.wait_for(8)
        sizes = sorted(len(request.body) for request in listener.requests)
        counts = sorted(len(json.loads(request.body)) for request in listener.requests)
    assert counts == [1, 1, 3, 3]
    assert sizes[-2] <= 1024 * 1024 < sizes[-1]


def test_it_takes_one_place_of_the_endpoint_a_request(hand):
    with Listener(lambda _request: [0.2, OK]) as listener:
        destination = batching_destination(listener, 10, 30.0)
        hand.dispatcher.take([make_item(destination) for _ in range(200)])
        listener.wait_for(8)
        time.sleep(0.05)
        assert len(listener.requests) == 8
        hand.wait_for(200)
        assert len(listener.requests) == 20


def test_it_gathers_on_while_the_endpoint_has_no_room(hand):
    with Listener(lambda _request: [0.3, OK]) as listener:
        destination = batching_destination(listener, 50, 0.001)
        for _ in range(8):
            hand.dispatcher.take([make_item(destination)])
            time.sleep(0.01)
        for _ in range(20):
            hand.dispatcher.take([make_item(destination)])
            time.sleep(0.005)
        hand.wait_for(28)
        counts = [len(json.loads(request.body)) for request in listener.requests]
    assert sum(counts) == 28
    assert len(counts) <= 11


def test_it_reports_each_callback_of_a_request_that_failed_and_gives_back_those_that_were_gathering(hand):
    url = f"http://127.0.0.1:{closed_port()}/"
    destination = make_destination(url, batch_events=3, batch_seconds=30.0)
    hand.dispatcher.take([make_item(destination) for _ in range(5)])
    reports = hand.wait_for(3)
    assert {(outcome.word, took) for _item, outcome, took in reports} == {("connect", reports[0][2])}
    assert len(hand.wait_for_returned(2)) == 2


def test_it_gives_back_what_waits_for_an_endpoint_and_finishes_what_is_under_way(hand):
    with Listener(lambda _request: [0.3, OK]) as listener:
        plain, several = make_destination(listener.url()), batching_destination(listener, 5, 30.0)
        hand.dispatcher.take([make_item(plain, endpoint="plain") for _ in range(20)])
        hand.dispatcher.take([make_item(several, endpoint="several") for _ in range(3)])
        listener.wait_for(8)
        hand.dispatcher.release("plain")
        hand.dispatcher.release("several")
        hand.dispatcher.release("nobody")
        returned = hand.wait_for_returned(15)
        hand.wait_for(8)
        assert len(listener.requests) == 8
    assert sorted(item.endpoint for item in returned) == ["plain"] * 12 + ["several"] * 3


def test_it_releases_nothing_once_it_has_stopped():
    with Hand() as hand:
        pass
    hand.dispatcher.release("here")


def test_it_gives_back_a_group_that_gathers_when_it_stops():
    with Listener() as listener:
        with Hand() as hand:
            hand.dispatcher.take([make_item(batching_destination(listener, 5, 30.0)) for _ in range(3)])
        assert len(hand.returned) == 3
        assert listener.requests == []


def test_it_joins_any_object_into_an_array_that_json_can_read():
    class Each:
        def __init__(self, body):
            self.body = body
            self.event_id = "e"

    bodies = [b"{}", b" { } ", b'{"a":1}', b'\n{ "a": {} }\n']
    assert json.loads(batching.join([Each(body) for body in bodies])) == [
        {"id": "e"},
        {"id": "e"},
        {"id": "e", "a": 1},
        {"id": "e", "a": {}},
    ]


def test_it_makes_another_id_of_other_events_and_one_that_may_be_signed():
    names = {batching.identify(ids) for ids in (["a"], ["b"], ["a", "b"], ["b", "a"], [])}
    assert len(names) == 5
    assert all("." not in name and len(name) == 38 for name in names)


@pytest.mark.django_db(transaction=True)
def test_it_brings_together_again_what_failed_together(sending, tenant):
    answers = iter([[status(500)], [status(503)]])
    with Listener(lambda _request: next(answers, [OK])) as listener:
        webhook = make_webhook(tenant, listener.url(), batch_max_events=20, batch_max_delay_ms=100)
        fanout.fan_out(make_facts(tenant, 40))
        carry()
        eventually(lambda: Attempt.objects.count() == 40)
        assert len(listener.requests) == 2
        fanout.fan_out(make_facts(tenant, 5))
        DueCallback.objects.update(next_attempt_at=datetime.now(tz=UTC))
        carry()
        eventually(lambda: not DueCallback.objects.exists())
        requests = listener.requests
    oracle = Oracle(webhook.plain_secret)
    assert sorted(len(oracle.verify(request.body, request.headers)) for request in requests) == [
        5,
        20,
        20,
        20,
        20,
    ]
    by_id = Counter(request.headers["webhook-id"] for request in requests)
    assert sorted(by_id.values()) == [1, 2, 2]
    assert len({request.body for request in requests}) == 3
    attempts = Counter(Attempt.objects.values_list("batch", flat=True))
    assert attempts == {name: times * (5 if times == 1 else 20) for name, times in by_id.items()}
    assert {row.state for row in Callback.objects.all()} == {"delivered"}
