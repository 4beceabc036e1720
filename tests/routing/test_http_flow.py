"""An HTTP operator from its command to a delivered message: a worker's desk, a real database, a real server."""

import io
import json
import queue
import threading
import time

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from gateway.models import DueMessage
from routing import handover, intake, operators, queues
from routing.desk import Desk
from routing.models import Delivery, Operator, OperatorState
from routing.relay import Relay
from tests.fakes.http_listener import status
from tests.fakes.http_operator import HttpOperator, accept, after
from tests.routing.conftest import status_of

TOKEN = "a-token-of-24-characters"


def add(*arguments):
    out = io.StringIO()
    call_command("add_operator", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def fake():
    with HttpOperator() as running:
        yield running


@pytest.fixture
def desk(transactional_db, tmp_path, settings):
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    opened = Desk(serves=frozenset({"web"}), on_queues=lambda _queues: None)
    handover.process.desk = opened
    intake._directory.__init__()
    opened.start()
    yield opened
    opened.stop()
    handover.process.desk = None


@pytest.fixture
def tasks(monkeypatch):
    published: queue.SimpleQueue = queue.SimpleQueue()
    monkeypatch.setattr(
        queues, "publish", lambda *, queue, delivery_ids: published.put([str(key) for key in delivery_ids])
    )
    return published


def until(condition, tasks, seconds=10.0):
    """Turn the relay and the worker until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        Relay().tick()
        while not tasks.empty():
            handover.hand_over(delivery_ids=tasks.get())
        time.sleep(0.02)


def web(fake, **account):
    settings = [
        f"--set={name}={json.dumps(value)}"
        for name, value in fake.account(**account).items()
        if name != "url"
    ]
    return add(
        "web", "--transport", "http", "--url", fake.url(), "--secret", f"intake_token={TOKEN}", *settings
    )


def test_a_message_goes_out_and_its_receipt_comes_home(desk, fake, waiting, tasks):
    shown = web(fake)
    assert (shown["receipts"], shown["inbound"]) == ("/intake/web/receipts", "/intake/web/inbound")
    keys = waiting(Operator.objects.get(slug="web"), 25)
    until(lambda: {status_of(key) for key in keys} == {"sent"}, tasks)
    assert len(fake.requests) == 25
    assert not Delivery.objects.exists()
    told = [{"id": f"M{number}", "status": "delivered"} for number in range(1, 26)]
    answer = Client().post(f"{shown['receipts']}/{TOKEN}", json.dumps(told), content_type="application/json")
    assert answer.status_code == 200
    assert {status_of(key) for key in keys} == {"delivered"}


def test_messages_wait_while_the_operator_pauses(desk, fake, waiting, tasks):
    fake.play = lambda request, number: (
        [status(429, headers="Retry-After: 1")] if number == 1 else accept(request, number)
    )
    web(fake, window=1)
    keys = waiting(Operator.objects.get(slug="web"), 3)
    until(lambda: {status_of(key) for key in keys} == {"sent"}, tasks)
    assert fake.requests[1].at - fake.requests[0].at >= 0.99
    assert len(fake.requests) == 4


def test_settings_may_change_under_way_and_nothing_is_lost(desk, fake, waiting, tasks):
    fake.play = after(0.3)
    web(fake, window=1)
    operator = Operator.objects.get(slug="web")
    keys = waiting(operator, 6)
    wait_up(operator)
    Relay().tick()
    work = threading.Thread(target=carry, args=(tasks.get(),))
    work.start()
    fake.wait_for(1)
    add("web", "--update", "--window", "6")
    work.join(10)
    assert not work.is_alive()
    until(lambda: {status_of(key) for key in keys} == {"sent"}, tasks)
    assert len(fake.requests) == 6
    assert not DueMessage.objects.exists()


def carry(delivery_ids):
    try:
        handover.hand_over(delivery_ids=delivery_ids)
    finally:
        connection.close()


def wait_up(operator):
    deadline = time.monotonic() + 5
    while not OperatorState.objects.filter(operator_id=operator.pk, up=True).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    operators.standings(fresh=True)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--transport", "http"], "url is missing"),
        (["--transport", "http", "--url", "x"], "url"),
        (["--transport", "http", "--url", "http://x.example/", "--port", "25"], "'port'"),
        (["--transport", "http", "--url", "http://x.example/", "--set", "auth=bearer"], "secret token"),
        (["--transport", "http", "--url", "http://x.example/", "--secret", "hush"], "KEY=VALUE"),
    ],
)
def test_an_operator_that_makes_no_sense_is_not_added(arguments, named):
    with pytest.raises(CommandError) as found:
        add("web", *arguments)
    assert named in str(found.value)
    assert "hush" not in str(found.value)
    assert not Operator.objects.filter(slug="web").exists()


@pytest.mark.django_db
def test_a_secret_is_kept_as_it_is_given_and_never_shown():
    arguments = ["--transport", "http", "--url", "http://x.example/", "--set", "auth=bearer"]
    shown = add("web", *arguments, "--secret", "token=0012345678901234567890e5", "--secret", "x=true")
    assert "0012345678901234567890" not in json.dumps(shown)
    opened = operators.settings_of(Operator.objects.get(slug="web"))
    assert opened.secrets == {"token": "0012345678901234567890e5", "x": "true"}
