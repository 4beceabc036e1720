"""The operator of the sandboxes: it gets all that is theirs, and nothing else."""

import queue
import time
import uuid

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from gateway.hooks import RouteRequest, hooks
from gateway.models import DueMessage
from gateway.models.tenant import sandbox_of
from routing import desk, operators, provisioning, relay, selection
from routing.apps import keep_sandbox
from routing.contract import OperatorSettings, Outbound, Receipt, ReceiptState, Verdict
from routing.models import Operator, Route
from routing.selection import NO_ROUTE, SANDBOX_OPERATOR_ID, Rule, Table
from tests.routing.conftest import report

TO = "+14155550101"


def request(tenant_id, *, channel="sms"):
    return RouteRequest(tenant_id, channel, TO, None)


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "rcs"])
def test_it_gets_what_a_sandbox_sends_whatever_the_routes(channel):
    rules = [Rule(1, channel, "1", tenant_id, "", 9, 1) for tenant_id in (None, -1, 1)]
    for table in (Table(()), Table(rules)):
        assert table.choose(request(-1, channel=channel)) == SANDBOX_OPERATOR_ID
        assert table.choose(request(-1, channel=channel), usable=lambda _key: False) == SANDBOX_OPERATOR_ID


def test_it_gets_nothing_of_a_real_tenants():
    to_it = Rule(SANDBOX_OPERATOR_ID, "sms", "1", None, "", 9, 1)
    assert Table([to_it]).choose(request(1)) == NO_ROUTE
    assert Table([to_it, Rule(1, "sms", "", None, "", 0, 1)]).choose(request(1)) == 1


def test_it_is_there_after_the_migrations(db):
    operator = Operator.objects.get(pk=SANDBOX_OPERATOR_ID)
    assert (operator.slug, operator.transport, operator.rate) == ("sandbox", "sandbox", None)
    assert operator.active


def test_it_is_put_back_and_left_as_it_is(db):
    Operator.objects.filter(pk=SANDBOX_OPERATOR_ID).delete()
    taken = Operator.objects.create(slug="sandbox", transport="smpp")
    keep_sandbox(using="default", apps=apps)
    taken.refresh_from_db()
    assert taken.slug == f"sandbox-{taken.pk}"
    Operator.objects.filter(pk=SANDBOX_OPERATOR_ID).update(active=False)
    keep_sandbox(using="default")
    assert not Operator.objects.get(pk=SANDBOX_OPERATOR_ID).active


def test_it_is_not_missed_where_there_are_no_operators_yet(db):
    from django.db.migrations.state import ProjectState

    keep_sandbox(using="default", apps=ProjectState().apps)


@pytest.mark.django_db(transaction=True)
def test_it_outlives_a_flush():
    call_command("flush", interactive=False, verbosity=0)
    assert Operator.objects.filter(pk=SANDBOX_OPERATOR_ID).exists()


def test_it_is_where_messages_are_when_they_are_accepted(tenants):
    acme = tenants[0]
    operator = Operator.objects.create(slug="one", transport="simulator")
    Route.objects.create(operator=operator)
    Route.objects.create(operator_id=SANDBOX_OPERATOR_ID, prefix="1415")
    lanes = selection.lanes([request(acme.pk), request(sandbox_of(acme.pk))])
    assert lanes == [operator.pk, SANDBOX_OPERATOR_ID]


@pytest.mark.parametrize(
    "arguments",
    [
        ["add_operator", "sandbox", "--transport", "simulator"],
        ["add_operator", "Sandbox", "--transport", "simulator"],
        ["add_operator", "sandbox", "--update", "--rate", "1"],
        ["add_route", "--operator", "sandbox"],
    ],
)
def test_it_is_nobodys_to_change_by_command(tenants, arguments):
    with pytest.raises(CommandError, match="the sandboxes' own") as refused:
        call_command(*arguments)
    assert refused.value.returncode == 1
    assert Operator.objects.get().rate is None
    assert not Route.objects.exists()


def test_it_lends_its_transport_to_no_other(tenants):
    wish = provisioning.OperatorWish(slug="mine", transport="sandbox")
    with pytest.raises(provisioning.ProvisioningError, match="must be one of"):
        provisioning.add_operator(wish=wish)


def test_it_is_told_of_before_sending(tenants):
    acme = tenants[0]
    assert hooks.explain is selection.explain
    assert selection.explain(request(acme.pk)) is None
    operator = Operator.objects.create(slug="one", transport="simulator")
    Route.objects.create(operator=operator)
    assert selection.explain(request(acme.pk))["operator"] == "one"
    assert selection.explain(request(-acme.pk)) == {
        "operator": "sandbox",
        "priority": None,
        "cost": None,
        "reason": "the sandbox's own operator",
        "alternatives": [],
    }


def test_it_is_fed_by_the_relay_beside_the_others(tenants, waiting, monkeypatch):
    published: dict[str, int] = {}
    monkeypatch.setattr(
        relay.queues, "publish", lambda *, queue, delivery_ids: published.update({queue: len(delivery_ids)})
    )
    operator = Operator.objects.create(slug="one", transport="simulator")
    sandbox = Operator.objects.get(pk=SANDBOX_OPERATOR_ID)
    for each in (operator, sandbox):
        report(each)
    waiting(operator, 3)
    waiting(sandbox, 2, tenant_id=-tenants[0].pk)
    waiting(sandbox, 1, tenant_id=-tenants[1].pk, priority=0)
    assert relay.Relay().tick() == 6
    assert published == {"operator.one": 3, "operator.sandbox": 2}


def test_it_waits_for_its_own_worker_and_is_moved_to_nobody_elses(tenants, waiting, monkeypatch):
    monkeypatch.setattr(relay.queues, "publish", lambda **_task: None)
    operator = Operator.objects.create(slug="one", transport="simulator")
    Route.objects.create(operator=operator)
    report(operator)
    sandbox = Operator.objects.get(pk=SANDBOX_OPERATOR_ID)
    waiting(sandbox, 2, tenant_id=-tenants[0].pk)
    waiting(None, 1, tenant_id=-tenants[0].pk)
    relay.Relay().tick()
    assert set(DueMessage.objects.values_list("lane", flat=True)) == {SANDBOX_OPERATOR_ID}
    assert DueMessage.objects.count() == 3


def test_it_has_a_standing_like_any_other(db):
    sandbox = Operator.objects.get(pk=SANDBOX_OPERATOR_ID)
    assert not operators.standings(fresh=True)[SANDBOX_OPERATOR_ID].ready
    report(sandbox)
    standing = operators.standings(fresh=True)[SANDBOX_OPERATOR_ID]
    assert (standing.ready, standing.queue) == (True, "operator.sandbox")


class Sink:
    def __init__(self) -> None:
        self.arrived: queue.SimpleQueue[tuple[float, Receipt]] = queue.SimpleQueue()

    def receipts(self, _transport, arrived) -> None:
        for each in arrived:
            self.arrived.put((time.monotonic(), each))

    def changed(self) -> None:
        pass


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def transport(sink):
    made = desk.make("sandbox", OperatorSettings(SANDBOX_OPERATOR_ID, "sandbox", "sms", None, {}))
    made.start(sink=sink)
    yield made
    made.stop(deadline=5)


def outcome_of(transport, recipient, *, channel="sms", parts=1):
    came: queue.SimpleQueue = queue.SimpleQueue()
    given = (uuid.uuid4(), uuid.uuid4(), -1, channel, recipient, "ACME", "hello", None, parts, None, None)
    transport.submit([Outbound(*given)], came.put)
    (outcome,) = came.get(timeout=5)
    return outcome


@pytest.mark.parametrize(
    ("recipient", "state"),
    [
        ("+15005550006", ReceiptState.DELIVERED),
        ("+15005550007", ReceiptState.UNDELIVERABLE),
        ("+15005550008", ReceiptState.EXPIRED),
        ("+14155550101", ReceiptState.DELIVERED),
    ],
)
def test_it_reports_what_the_recipient_stands_for(transport, sink, recipient, state):
    outcome = outcome_of(transport, recipient, parts=3)
    assert outcome.verdict is Verdict.ACCEPTED
    came = [sink.arrived.get(timeout=5)[1] for _part in range(3)]
    assert {receipt.state for receipt in came} == {state}
    assert {receipt.operator_id for receipt in came} == {SANDBOX_OPERATOR_ID}
    assert {receipt.remote_id for receipt in came} == set(outcome.remote_ids)


def test_it_refuses_one_and_never_reports_another(transport, sink):
    assert outcome_of(transport, "+15005550009").verdict is Verdict.REFUSED
    assert outcome_of(transport, "+15005550010").verdict is Verdict.ACCEPTED
    time.sleep(0.15)
    assert sink.arrived.empty()


def test_it_delivers_one_late(transport, sink, monkeypatch):
    from routing.transports import sandbox

    late = sandbox.FATES["+15005550011"]
    assert (late.state, late.delay) == (ReceiptState.DELIVERED, 10.0)
    monkeypatch.setitem(sandbox.FATES, "+15005550011", late._replace(delay=0.3))
    began = time.monotonic()
    outcome_of(transport, "+15005550011")
    assert sink.arrived.get(timeout=5)[0] - began >= 0.3


@pytest.mark.parametrize("channel", ["whatsapp", "rcs"])
def test_it_takes_every_channel(transport, sink, channel):
    outcome_of(transport, "+15005550006", channel=channel)
    assert sink.arrived.get(timeout=5)[1].state is ReceiptState.DELIVERED
