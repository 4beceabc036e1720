from datetime import UTC, datetime, timedelta

import pytest

from gateway import events, ids, lifecycle, statuses
from gateway.events import Note
from gateway.hooks import hooks
from gateway.lifecycle import Move
from gateway.models import Event, Message
from gateway.statuses import Status
from tests.factories import make_tenant

NOW = datetime.now(tz=UTC)


@pytest.fixture
def tenant(db):
    return make_tenant("acme")


@pytest.fixture(autouse=True)
def facts(monkeypatch):
    told = []
    monkeypatch.setattr(hooks, "fan_out", [told.extend])
    return told


def put(tenant, status, count=1):
    keys = ids.new(count)
    Message.objects.bulk_create(
        Message(
            id=key,
            tenant_id=tenant.pk,
            channel="sms",
            recipient="+14155550101",
            text="x",
            parts=1,
            created_at=NOW,
            status=status,
            callback_url="https://example.com",
        )
        for key in keys
    )
    return keys


@pytest.mark.parametrize("origin", Status)
@pytest.mark.parametrize("target", Status)
def test_makes_the_moves_of_the_table_and_no_others(tenant, facts, origin, target):
    (key,) = put(tenant, origin)
    moved = lifecycle.move(
        moves=[Move(key, target, NOW, operator="demo", operator_code="raw", error_code="E")]
    )
    row = Message.objects.get(pk=key)
    if not statuses.may_move(origin=origin, target=target):
        assert moved == set()
        assert (row.status, row.sequence, row.operator, row.error_code) == (origin, 1, None, None)
        assert facts == []
        assert not Event.objects.exists()
        return
    assert moved == {key}
    assert (row.status, row.operator, row.error_code) == (target, "demo", "E")
    if target in statuses.QUIET:
        assert (row.sequence, facts) == (1, [])
        assert not Event.objects.exists()
        return
    event = Event.objects.get()
    assert (event.type, event.status, event.sequence) == (f"message.{target}", target, 2)
    assert (event.operator, event.operator_code, event.error_code) == ("demo", "raw", "E")
    assert [(fact.event_id, fact.message_id, fact.type) for fact in facts] == [(event.pk, key, event.type)]
    assert facts[0].callback_url == "https://example.com"


def test_never_leaves_a_status_that_is_final():
    for status in statuses.FINAL:
        assert not statuses.MOVES[status]


def test_moves_a_message_through_its_targets_in_order(tenant):
    (key,) = put(tenant, Status.SENDING)
    later = NOW + timedelta(seconds=3)
    moved = lifecycle.move(moves=[Move(key, Status.DELIVERED, later), Move(key, Status.SENT, NOW)])
    row = Message.objects.get(pk=key)
    assert moved == {key}
    assert (row.status, row.sent_at, row.delivered_at, row.sequence) == (Status.DELIVERED, NOW, later, 3)
    assert list(Event.objects.order_by("sequence").values_list("type", flat=True)) == [
        "message.sent",
        "message.delivered",
    ]


def test_moves_a_thousand_at_once(tenant, facts, django_assert_max_num_queries):
    keys = put(tenant, Status.SENDING, 1000)
    with django_assert_max_num_queries(3):
        assert lifecycle.move(moves=[Move(key, Status.SENT, NOW) for key in keys]) == set(keys)
    assert len(facts) == 1000
    assert Message.objects.filter(status="sent", sent_at=NOW).count() == 1000


def test_lets_one_of_two_movers_win(transactional_db, facts, together):
    keys = put(make_tenant("acme"), Status.ACCEPTED, 50)

    def race(number):
        target = Status.CANCELED if number % 2 else Status.SENDING
        order = keys if number < 2 else keys[::-1]
        return lifecycle.move(moves=[Move(key, target, NOW) for key in order])

    won = together(race, 4)
    assert sum(len(moved) for moved in won) == 50
    assert Event.objects.count() == Message.objects.filter(status="canceled").count()


def test_takes_a_move_back_when_it_cannot_be_fanned_out(transactional_db, monkeypatch):
    def fail(facts):
        raise RuntimeError("no")

    (key,) = put(make_tenant("acme"), Status.SENDING)
    monkeypatch.setattr(hooks, "fan_out", [fail])
    with pytest.raises(RuntimeError):
        lifecycle.move(moves=[Move(key, Status.SENT, NOW)])
    assert Message.objects.get(pk=key).status == Status.SENDING
    assert not Event.objects.exists()


def test_ignores_a_message_that_is_gone(tenant):
    assert lifecycle.move(moves=[Move(ids.one(), Status.SENT, NOW)]) == set()
    assert lifecycle.move(moves=[]) == set()


def test_notes_lines_without_moving_anything(tenant, facts):
    first, second = put(tenant, Status.DELIVERED, 2)
    events.note(
        notes=[
            Note(first, "receipt.late", NOW, operator="demo", operator_code="DELIVRD", data={"raw": "é"}),
            Note(second, "receipt.repeated", NOW),
            Note(first, "receipt.repeated", NOW, error_code="E"),
            Note(ids.one(), "receipt.late", NOW),
        ]
    )
    lines = Event.objects.filter(message_id=first).order_by("sequence")
    assert [(line.type, line.sequence, line.status) for line in lines] == [
        ("receipt.late", 2, None),
        ("receipt.repeated", 3, None),
    ]
    assert lines[0].data == {"raw": "é"}
    assert {line.tenant_id for line in Event.objects.all()} == {tenant.pk}
    assert Message.objects.get(pk=first).sequence == 3
    assert Message.objects.get(pk=first).status == Status.DELIVERED
    assert Event.objects.count() == 3
    assert facts == []


def test_notes_nothing_for_nothing(tenant, django_assert_num_queries):
    with django_assert_num_queries(0):
        events.note(notes=[])
