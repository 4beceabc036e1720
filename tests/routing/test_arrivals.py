"""Handsets' messages on their way from a transport to the tenant of the number."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError

from config import housekeeping
from gateway import inbound, numbers_owned, opt_outs
from gateway.hooks import hooks
from gateway.models import DueMessage, Event, InboundMessage, Message
from routing import arrivals, operators
from routing.contract import Inbound, Receipt, ReceiptState
from routing.desk import Desk
from routing.models import InboundPart, Operator, ParkedReceipt

pytestmark = pytest.mark.django_db

HANDSET = "+14155550101"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    numbers_owned.forget()
    monkeypatch.setattr(hooks, "route", lambda requests, fresh=True: [0] * len(requests))
    monkeypatch.setattr(arrivals._channels, "stale_at", 0.0)


@pytest.fixture
def numbered(tenants):
    """4242 is acme's, 4343 is other's."""
    for tenant, number in zip(tenants, ("4242", "4343"), strict=True):
        numbers_owned.give(number=number, tenant=tenant)
    return tenants


def arrived(text="Hello", **fields) -> Inbound:
    given = {
        "operator_id": 1,
        "sender": HANDSET[1:],
        "recipient": "4242",
        "text": text,
        "occurred_at": datetime.now(tz=UTC),
        "raw": {},
    }
    return Inbound(**given | fields)


def keep(*each: Inbound) -> None:
    arrivals.keep(arrived=each, slugs={1: "one"})


def inbox(tenant) -> list[str]:
    return list(
        InboundMessage.objects.for_tenant(tenant and tenant.pk).order_by("id").values_list("text", flat=True)
    )


def test_it_gives_each_to_the_tenant_of_its_number(numbered):
    acme, other = numbered
    keep(arrived("a"), arrived("b", recipient="4343"), arrived("c", recipient="4444"), arrived("d"))
    assert [inbox(acme), inbox(other), inbox(None)] == [["a", "d"], ["b"], ["c"]]
    row = InboundMessage.objects.for_tenant(acme.pk).first()
    assert (row.sender, row.operator, row.channel) == (HANDSET, "one", "sms")
    assert Event.objects.filter(type="message.received").count() == 3


def test_it_does_what_keywords_say_and_replies_the_way_it_came(numbered):
    acme, other = numbered
    keep(arrived("stop"), arrived("aide", recipient="4343"))
    assert opt_outs.blocked(wanted=[(acme.pk, HANDSET, None), (other.pk, HANDSET, None)]) == [True, False]
    replies = Message.objects.order_by("tenant_id")
    assert [(row.tenant_id, row.sender, row.recipient) for row in replies] == [
        (acme.pk, "4242", HANDSET),
        (other.pk, "4343", HANDSET),
    ]
    assert replies[1].text.startswith("Répondez STOP")


def test_it_takes_the_channel_of_the_operator(tenants):
    operator = Operator.objects.create(slug="wa", transport="simulator", channel="whatsapp")
    numbers_owned.give(number="4242", tenant=tenants[0], channel="whatsapp")
    keep(arrived("a", operator_id=operator.pk), arrived("b", operator_id=operator.pk + 1))
    assert [inbox(tenants[0]), inbox(None)] == [["a"], ["b"]]
    assert InboundMessage.objects.get(text="a").channel == "whatsapp"


def test_it_reads_numbers_in_one_query_however_many_come(numbered, django_assert_max_num_queries):
    keep(arrived())
    with django_assert_max_num_queries(30):
        keep(*(arrived(str(number), recipient=f"4{number % 50}42") for number in range(500)))
    assert InboundMessage.objects.count() == 501


POISON = [
    {"text": "a\0b"},
    {"text": "a\ud83d"},
    {"sender": "a\0"},
    {"recipient": "\ud83d"},
    {"raw": {"a": ["\0", {"b\ud83d": "\ud83d"}]}},
    {"raw": {"a": datetime(2026, 1, 1, tzinfo=UTC)}},
    {"text": "\0", "part": (1, 2, 1)},
    {"sender": "\0", "part": (1, 2, 1)},
    {"raw": {"a": "\0"}, "part": (1, 2, 1)},
]


@pytest.mark.parametrize("poison", POISON)
def test_it_keeps_the_others_whatever_one_is(numbered, poison):
    acme, _other = numbered
    keep(arrived("a"), arrived("b"), arrived(**poison), arrived("stop"))
    assert {"a", "b", "stop"} <= set(inbox(acme))
    assert InboundMessage.objects.count() + InboundPart.objects.count() == 4
    assert opt_outs.blocked(wanted=[(acme.pk, HANDSET, None)]) == [True]


def test_it_tries_what_failed_again_later(numbered, monkeypatch):
    acme, other = numbered

    def fail(facts):
        if any(fact.tenant_id == acme.pk for fact in facts):
            raise RuntimeError

    monkeypatch.setattr(hooks, "fan_out", [fail])
    keep(arrived("stop", raw={"x": 1}), arrived("b", recipient="4343"))
    assert [inbox(acme), inbox(other), inbox(None)] == [[], ["b"], ["stop"]]
    now = datetime.now(tz=UTC)
    assert arrivals.take_up(now=now) == 1
    assert inbox(None) == ["stop"]
    monkeypatch.setattr(hooks, "fan_out", [])
    arrivals.take_up(now=now)
    assert [inbox(acme), inbox(None)] == [["stop"], []]
    assert InboundMessage.objects.get(text="stop").raw["x"] == 1
    assert "failure" not in InboundMessage.objects.get(text="stop").raw
    assert opt_outs.blocked(wanted=[(acme.pk, HANDSET, None)]) == [True]


def test_it_keeps_nothing_while_the_database_is_away(numbered, monkeypatch):
    def away(**_given):
        raise OperationalError

    monkeypatch.setattr(inbound, "store", away)
    with pytest.raises(OperationalError):
        keep(arrived("a"), arrived("b", recipient="4444"))
    assert not InboundMessage.objects.exists()


def test_it_takes_up_what_came_before_its_number_was_given(tenants):
    keep(arrived("stop"), arrived("b", recipient="4343"), arrived("c"))
    numbers_owned.give(number="4242", tenant=tenants[0])
    housekeeping.keep(now=datetime.now(tz=UTC) + timedelta(seconds=1))
    assert [inbox(tenants[0]), inbox(None)] == [["stop", "c"], ["b"]]
    assert opt_outs.blocked(wanted=[(tenants[0].pk, HANDSET, None)]) == [True]


def test_it_takes_up_nothing_older_than_a_week(tenants, monkeypatch):
    keep(arrived())
    numbers_owned.give(number="4242", tenant=tenants[0])
    monkeypatch.setattr(arrivals, "TAKES_UP", timedelta(0))
    assert arrivals.take_up(now=datetime.now(tz=UTC) + timedelta(seconds=1)) == 0


def test_it_takes_up_in_batches(tenants, monkeypatch):
    monkeypatch.setattr(arrivals, "TAKE_UP_BATCH", 3)
    keep(*(arrived(str(number)) for number in range(7)))
    numbers_owned.give(number="4242", tenant=tenants[0], keyword="5")
    numbers_owned.forget()
    assert arrivals.take_up(now=datetime.now(tz=UTC) + timedelta(seconds=1)) == 7
    assert inbox(tenants[0]) == ["5"]


def test_it_gives_what_is_left_of_a_long_message_to_its_tenant(numbered, now):
    keep(arrived("one ", part=(1, 2, 1)), arrived("STOP", part=(2, 2, 1)), arrived("", part=(2, 2, 2)))
    assert inbox(numbered[0]) == ["STOP"]
    arrivals.give_up_pieces(now=now + timedelta(minutes=6), slugs={1: "one"})
    assert inbox(numbered[0]) == ["STOP", "one […]"]
    assert not InboundPart.objects.exists()


def test_it_stores_the_other_receipts_whatever_one_is(tenants, tmp_path, settings):
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    desk = Desk(serves=None, on_queues=lambda queues: None)
    at = datetime.now(tz=UTC)
    raws = ({}, {"x": "\0"}, {})
    came = [Receipt(1, f"r{n}", ReceiptState.DELIVERED, at, raw=raw) for n, raw in enumerate(raws)]
    desk._store([*came, arrived("a")])
    desk.journal.close()
    assert set(ParkedReceipt.objects.values_list("remote_id", flat=True)) == {"r0", "r2"}
    assert inbox(None) == ["a"]


def test_it_replies_by_the_operator_that_it_came_by_if_that_can_send(numbered, make_operator):
    up, down = make_operator("one"), make_operator("two", up=False)
    operators._cache.stale_at = 0.0
    keep(
        arrived("help", operator_id=up.pk),
        arrived("help", operator_id=down.pk, sender="14155550102"),
        arrived("help", operator_id=0, sender="14155550103"),
    )
    lanes = dict(DueMessage.objects.values_list("recipient", "lane"))
    assert lanes == {HANDSET: up.pk, "+14155550102": 0, "+14155550103": 0}
