"""Counts of messages, kept as they are written and moved."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from config import housekeeping
from gateway import ids, lifecycle, submission, tallies
from gateway.lifecycle import Move
from gateway.models import Message
from gateway.models.tally import Tally, TallyDelta
from gateway.statuses import Status
from gateway.storing import Submission

NOW = datetime(2026, 11, 20, 9, 30, 12, tzinfo=UTC)
KIND = ("tenant_id", "at", "channel", "country", "operator", "measure", "value", "error_code")


def accept(caller, count=1, *, now=NOW, recipient="+14155550101", **members):
    outcomes = submission.accept(
        submissions=[
            Submission(caller.tenant.pk, recipient, text="x", backlog_limit=10**6, **members)
            for _ in range(count)
        ],
        now=now,
    )
    return [Message.objects.get(pk=outcome.id).pk for outcome in outcomes]


def move(keys, target, *, at=NOW, operator=None, error_code=None):
    assert lifecycle.move(moves=[Move(key, target, at, operator, error_code=error_code) for key in keys])


def totals(measure=0):
    """What is counted, whether rolled up or not."""
    found = Counter()
    for model in (Tally, TallyDelta):
        for row in model.objects.filter(measure=measure):
            found[tuple(getattr(row, name) for name in KIND)] += row.count
    return {kind: count for kind, count in found.items() if count}


def told(measure=0):
    """Without tenant and minute."""
    short = Counter()
    for kind, count in totals(measure).items():
        short[tuple(kind[2:5] + kind[6:])] += count
    return dict(short)


def truth():
    """What a scan of the messages says."""
    found = Counter()
    for row in Message.objects.all():
        open_ = row.status in tallies.OPEN
        ended = row.status in ("failed", "expired", "rejected", "canceled")
        found[
            row.tenant_id,
            row.created_at.replace(second=0, microsecond=0),
            row.channel,
            row.country or "",
            "" if open_ else row.operator or "",
            0,
            "accepted" if open_ else row.status,
            (row.error_code or "") if ended else "",
        ] += 1
    return dict(found)


def test_count_a_message_when_it_is_accepted(acme):
    accept(acme, 3)
    accept(acme, recipient="+4915112345678", send_at=NOW + timedelta(hours=1))
    minute = NOW.replace(second=0)
    tenant = acme.tenant.pk
    assert totals() == {
        (tenant, minute, "sms", "US", "", 0, "accepted", ""): 3,
        (tenant, minute, "sms", "DE", "", 0, "accepted", ""): 1,
    }


def test_say_nothing_of_a_worker_taking_it(acme):
    keys = accept(acme)
    before = TallyDelta.objects.count()
    move(keys, Status.SENDING, operator="one")
    move(keys, Status.QUEUED, operator="one")
    assert TallyDelta.objects.count() == before


def test_follow_a_message_from_operator_to_operator(acme):
    keys = accept(acme, 2)
    move(keys, Status.SENDING, operator="one")
    move(keys, Status.QUEUED)
    move(keys, Status.SENDING, operator="two")
    move(keys, Status.SENT, operator="two")
    assert told() == {("sms", "US", "two", "sent", ""): 2}
    move(keys[:1], Status.DELIVERED)
    move(keys[1:], Status.FAILED, error_code="UNKNOWN")
    assert told() == {
        ("sms", "US", "two", "delivered", ""): 1,
        ("sms", "US", "two", "failed", "UNKNOWN"): 1,
    }
    move(keys[:1], Status.READ)
    assert told()[("sms", "US", "two", "read", "")] == 1


def test_know_several_minutes_tenants_and_targets_in_one_call(acme, other):
    keys = accept(acme, 2) + accept(acme, now=NOW - timedelta(minutes=5)) + accept(other)
    move(keys, Status.SENDING, operator="one")
    lifecycle.move(
        moves=[
            *(Move(key, Status.SENT, NOW, "one") for key in keys),
            *(Move(key, Status.DELIVERED, NOW + timedelta(seconds=1), "one") for key in keys[1:]),
        ]
    )
    assert totals() == truth()
    assert {kind[0] for kind in totals()} == {acme.tenant.pk, other.tenant.pk}


def test_take_no_notice_of_a_move_that_is_refused(acme):
    keys = accept(acme)
    move(keys, Status.CANCELED)
    assert not lifecycle.move(moves=[Move(keys[0], Status.SENT, NOW, "one")])
    assert told() == {("sms", "US", "", "canceled", ""): 1}


def test_measure_the_way_to_the_operator_and_to_the_handset(acme):
    keys = accept(acme, 2) + accept(acme, send_at=NOW + timedelta(seconds=20))
    move(keys, Status.SENDING, operator="one")
    move(keys, Status.SENT, at=NOW + timedelta(seconds=25), operator="one")
    move(keys[:1], Status.DELIVERED, at=NOW + timedelta(seconds=27))
    move(keys[:1], Status.READ, at=NOW + timedelta(seconds=60))
    move(keys[1:2], Status.READ, at=NOW + timedelta(seconds=35))
    # The operator's clock is behind.
    move(keys[2:], Status.DELIVERED, at=NOW)
    assert told(1) == {
        ("sms", "US", "one", str(tallies.bucket(25_000)), ""): 2,
        ("sms", "US", "one", str(tallies.bucket(5_000)), ""): 1,
    }
    assert told(2) == {
        ("sms", "US", "one", str(tallies.bucket(2_000)), ""): 1,
        ("sms", "US", "one", str(tallies.bucket(10_000)), ""): 1,
        ("sms", "US", "one", "0", ""): 1,
    }


def test_do_not_measure_what_was_not_seen(acme):
    """A receipt that comes before the operator's acceptance was stored."""
    keys = accept(acme, 2)
    move(keys, Status.SENDING, operator="one")
    move(keys[:1], Status.DELIVERED)
    move(keys[1:], Status.READ)
    assert (told(1), told(2)) == ({}, {})


def test_agree_with_a_scan_after_anything_that_can_happen(acme, other):
    rng = random.Random(5)
    keys = []
    for minute in range(3):
        for caller in (acme, other):
            keys += accept(caller, 8, now=NOW + timedelta(minutes=minute))
    for round_ in range(60):
        target = rng.choice(list(Status))
        some = rng.sample(keys, 12)
        lifecycle.move(
            moves=[
                Move(
                    key,
                    target,
                    NOW + timedelta(seconds=round_),
                    rng.choice([None, "one", "two/x"]),
                    error_code="E",
                )
                for key in some
            ]
        )
        if round_ % 7 == 0:
            tallies.roll_up(now=NOW)
        assert totals() == truth()
    assert len({row.status for row in Message.objects.all()}) >= 5


def test_follow_a_message_to_another_channel(acme, other):
    keys = accept(acme, 3, channel="whatsapp")
    stays = accept(other, channel="whatsapp")
    move(keys[:2] + stays, Status.SENDING, operator="one")
    move(keys[:1] + stays, Status.SENT, operator="one")
    tallies.shift(
        message_ids=[*keys, keys[0], ids.one()],
        change=lambda: Message.objects.filter(pk__in=keys).update(channel="sms", operator="two"),
    )
    assert totals() == truth()
    assert told() == {
        ("sms", "US", "two", "sent", ""): 1,
        ("sms", "US", "", "accepted", ""): 2,
        ("whatsapp", "US", "one", "sent", ""): 1,
    }


def test_run_a_change_of_nothing(db):
    ran = []
    tallies.shift(message_ids=[], change=lambda: ran.append(1))
    assert ran == [1]


def test_stay_as_they_were_when_the_change_fails(transactional_db, acme):
    keys = accept(acme)

    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        tallies.shift(message_ids=keys, change=fail)
    assert totals() == truth()


def test_add_up_to_the_same_when_rolled_up(acme):
    keys = accept(acme, 5)
    move(keys, Status.SENDING, operator="one")
    assert tallies.roll_up(now=NOW) == 0
    move(keys, Status.SENT, operator="one")
    before = totals(), totals(1)
    tallies.roll_up(now=NOW)
    assert (totals(), totals(1)) == before
    assert not TallyDelta.objects.exists()
    assert tallies.roll_up(now=NOW) == 0


def test_are_rolled_up_a_batch_at_a_time(acme, monkeypatch):
    accept(acme)
    accept(acme)
    monkeypatch.setattr(tallies, "_BATCH", 2)
    assert tallies.roll_up(now=NOW) == 2


def test_are_rolled_up_once_however_many_relays_try(transactional_db, acme, together):
    for _ in range(20):
        accept(acme, 2)
    before = totals()
    together(lambda _number: [tallies.roll_up(now=NOW) for _ in range(5)], 4)
    assert totals() == before
    assert not TallyDelta.objects.exists()


def test_lose_nothing_while_messages_are_moved(transactional_db, acme, together):
    keys = [key for _ in range(5) for key in accept(acme, 20)]

    def work(number):
        if number == 0:
            return [tallies.roll_up(now=NOW) for _ in range(30)]
        for target in (Status.SENDING, Status.SENT, Status.DELIVERED, Status.FAILED):
            some = random.Random(number * 100 + len(target)).sample(keys, 60)
            lifecycle.move(moves=[Move(key, target, NOW, f"o{number}", error_code="E") for key in some])
        return None

    together(work, 4)
    assert totals() == truth()


def test_become_hours_after_two_days(acme, monkeypatch):
    monkeypatch.setattr(tallies, "_merged", None)
    for minute in (1, 2, 59, 61):
        accept(acme, now=NOW.replace(minute=0) + timedelta(minutes=minute))
    tallies.roll_up(now=NOW)
    assert Tally.objects.count() == 4
    later = NOW + timedelta(hours=50)
    tallies.merge(now=later)
    hour = NOW.replace(minute=0, second=0)
    assert {(row.at, row.count) for row in Tally.objects.all()} == {(hour, 3), (hour + timedelta(hours=1), 1)}
    keys = Message.objects.values_list("pk", flat=True)
    move(keys, Status.CANCELED)
    tallies.roll_up(now=later)
    assert {(row.at, row.value, row.count) for row in Tally.objects.all()} >= {
        (hour, "canceled", 3),
        (hour, "accepted", 0),
    }


def test_are_forgotten_after_400_days_or_when_nothing_is_left(acme, monkeypatch):
    monkeypatch.setattr(tallies, "_merged", None)
    accept(acme)
    move(accept(acme, recipient="+33612345678"), Status.CANCELED)
    tallies.roll_up(now=NOW)
    assert Tally.objects.count() == 2
    tallies.merge(now=NOW + timedelta(days=399))
    assert Tally.objects.count() == 2
    tallies.merge(now=NOW + timedelta(days=401))
    assert not Tally.objects.exists()


def test_are_merged_once_an_hour(acme, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(tallies, "_merged", None)
    tallies.merge(now=NOW)
    with django_assert_num_queries(0):
        tallies.merge(now=NOW + timedelta(minutes=3))


def test_are_merged_by_housekeeping(transactional_db, acme, monkeypatch):
    monkeypatch.setattr(tallies, "_merged", None)
    now = datetime.now(tz=UTC)
    housekeeping.keep(now=now)
    assert tallies._merged == tallies.hours_before(now)


def test_have_buckets_that_sql_and_python_agree_on(db):
    rng = random.Random(1)
    spans = [timedelta(milliseconds=ms) for ms in range(200)]
    spans += [timedelta(microseconds=int(10 ** rng.uniform(0, 13))) for _ in range(2000)] + [timedelta(-1)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT span, {tallies.bucket_of('span')} FROM unnest(%s::interval[]) AS span", [spans]
        )
        wrong = [
            (span, number)
            for span, number in cursor.fetchall()
            if int(number) != tallies.bucket(span.total_seconds() * 1000)
        ]
    assert wrong == []


def test_have_buckets_right_to_five_percent():
    for tenths in range(10, 100_000, 7):
        asked = tenths / 10
        assert abs(tallies.middle(tallies.bucket(asked)) - asked) <= asked * 0.05


def test_are_counted_anew_by_the_migration(acme, other):
    import importlib

    migration = importlib.import_module("gateway.migrations.0005_count_messages")
    keys = accept(acme, 3) + accept(other, 2, channel="rcs")
    move(keys[:4], Status.SENDING, operator="one")
    move(keys[:2], Status.SENT, operator="one")
    move(keys[2:3], Status.REJECTED, operator="one", error_code="E")
    right = totals()
    TallyDelta.objects.filter(value="sent").delete()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in migration.Migration.operations[0].sql:
            cursor.execute(statement)
    assert {(*kind[:1], *kind[2:]): count for kind, count in totals().items()} == {
        (*kind[:1], *kind[2:]): count for kind, count in right.items()
    }
    assert not TallyDelta.objects.exists()
