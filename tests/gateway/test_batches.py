"""The messages of one bulk call, counted and cancelled together."""

import uuid
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.utils import timezone

from gateway import batches, errors, ids, lifecycle
from gateway.api.described.batches import PART
from gateway.lifecycle import Move
from gateway.models import DueMessage, Event, Message
from gateway.statuses import Status
from tests.factories import message

pytestmark = pytest.mark.django_db


def bulk(caller, count=3, **members):
    answer = caller.post("/v1/messages/bulk", {"messages": [message(**members) for _ in range(count)]})
    return answer.json["batchId"], [uuid.UUID(result["id"]) for result in answer.json["results"]]


def move(key, *targets):
    for target in targets:
        assert lifecycle.move(moves=[Move(key, target, timezone.now())])


def lease(*keys):
    """As the relay does: the due rows go."""
    DueMessage.objects.filter(message_id__in=keys).delete()


def insert(tenant_id, count):
    """A batch larger than one call makes."""
    batch_id, keys = ids.one(), ids.new(count)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO gateway_message (id, tenant_id, batch_id, channel, recipient, parts, priority, text,"
            " created_at, status, sequence)"
            " SELECT id, %s, %s, 'sms', '+14155550101', 1, 1, 'hello', now(), 'accepted', 1"
            " FROM unnest(%s::uuid[]) AS id",
            [tenant_id, batch_id, keys],
        )
        cursor.execute(
            "INSERT INTO gateway_duemessage (message_id, tenant_id, lane, priority, due_at, channel, recipient,"
            " parts, attempts, refused_by)"
            " SELECT id, %s, 0, 1, now(), 'sms', '+14155550101', 1, 0, '{}' FROM unnest(%s::uuid[]) AS id",
            [tenant_id, keys],
        )
    return batch_id, keys


def test_it_counts_its_messages_by_status(acme):
    batch_id, (first, second, _third) = bulk(acme)
    move(first, Status.SENDING, Status.SENT, Status.DELIVERED)
    move(second, Status.SENDING)
    answer = acme.get(f"/v1/batches/{batch_id}")
    assert answer.status == 200
    assert answer.json["id"] == batch_id
    assert answer.json["total"] == 3
    assert set(answer.json["counts"]) == {status.value for status in Status}
    assert {name: count for name, count in answer.json["counts"].items() if count} == {
        "accepted": 1,
        "sending": 1,
        "delivered": 1,
    }
    assert answer.json["finished"] is False
    assert answer.json["createdAt"].endswith("Z")
    assert answer.json["requestId"] == answer.headers["X-Request-Id"]


def test_it_is_finished_when_every_message_has_ended(acme):
    batch_id, keys = bulk(acme)
    for key, target in zip(keys, [Status.DELIVERED, Status.FAILED, Status.REJECTED], strict=True):
        move(key, Status.SENDING, target)
    assert acme.get(f"/v1/batches/{batch_id}/").json["finished"] is True


def test_it_counts_only_what_was_accepted(acme):
    body = {"messages": [message(), message(to="nonsense")]}
    batch_id = acme.post("/v1/messages/bulk", body).json["batchId"]
    assert acme.get(f"/v1/batches/{batch_id}").json["total"] == 1


@pytest.mark.parametrize("tail", ["", "/cancel"])
@pytest.mark.parametrize(
    "name",
    [
        "019ac3f2-7a10-7b62-9d0e-3c5b8f1a2e44",
        "ffffffff-ffff-4fff-bfff-ffffffffffff",
        "00000000-0000-0000-0000-000000000000",
        "nonsense",
        "%00",
        "\u0661",
    ],
)
def test_it_is_not_found_when_there_is_none(acme, name, tail):
    answer = acme.post(f"/v1/batches/{name}{tail}") if tail else acme.get(f"/v1/batches/{name}")
    assert (answer.status, answer.code) == (404, "NOT_FOUND")


def test_it_is_nobody_elses(acme, other):
    batch_id, keys = bulk(acme)
    assert other.get(f"/v1/batches/{batch_id}").status == 404
    assert other.post(f"/v1/batches/{batch_id}/cancel").status == 404
    assert DueMessage.objects.filter(message_id__in=keys).count() == 3


def test_it_takes_back_what_no_operator_has(acme):
    batch_id, (first, second, third) = bulk(acme)
    bystander = uuid.UUID(acme.post("/v1/messages", message()).json["id"])
    lease(first)
    move(first, Status.SENDING)
    answer = acme.post(f"/v1/batches/{batch_id}/cancel")
    assert (answer.status, answer.json["canceled"]) == (200, 2)
    assert (answer.json["counts"]["canceled"], answer.json["counts"]["sending"]) == (2, 1)
    assert answer.json["total"] == 3
    assert set(DueMessage.objects.values_list("message_id", flat=True)) == {bystander}
    assert set(Event.objects.filter(type="message.canceled").values_list("message_id", flat=True)) == {
        second,
        third,
    }


def test_it_takes_back_what_is_scheduled(acme):
    batch_id, _keys = bulk(acme, sendAt="2026-12-20T09:00:00Z")
    assert acme.post(f"/v1/batches/{batch_id}/cancel/").json["counts"]["canceled"] == 3


def test_it_cancels_nothing_twice(acme):
    batch_id, _keys = bulk(acme)
    assert acme.post(f"/v1/batches/{batch_id}/cancel").json["canceled"] == 3
    again = acme.post(f"/v1/batches/{batch_id}/cancel")
    assert (again.status, again.json["canceled"], again.json["finished"]) == (200, 0, True)


def test_it_leaves_the_next_step_of_a_message_that_is_sent(acme):
    batch_id, (first, *_rest) = bulk(acme)
    Message.objects.filter(pk=first).update(status=Status.SENT, fallback_step=1)
    assert acme.post(f"/v1/batches/{batch_id}/cancel").json["canceled"] == 2
    assert list(DueMessage.objects.values_list("message_id", flat=True)) == [first]


@pytest.mark.parametrize(
    ("method", "tail", "permission"), [("GET", "", "messages:send"), ("POST", "/cancel", "reports:read")]
)
def test_it_asks_for_the_permission(acme, method, tail, permission):
    batch_id, keys = bulk(acme)
    limited = type(acme)(acme.tenant, name="limited", permissions=[permission])
    answer = limited.send(method, f"/v1/batches/{batch_id}{tail}")
    assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
    assert DueMessage.objects.count() == len(keys)


def test_it_cancels_as_many_as_there_are(acme):
    batch_id, _keys = insert(acme.tenant.pk, 2 * batches.CHUNK + 1)
    canceled = batches.cancel(tenant_id=acme.tenant.pk, batch_id=batch_id, now=timezone.now())
    assert canceled == 2 * batches.CHUNK + 1
    assert not DueMessage.objects.exists()
    found = batches.read(tenant_id=acme.tenant.pk, batch_id=batch_id)
    assert (found.counts[Status.CANCELED], found.finished) == (canceled, True)


@pytest.mark.django_db(transaction=True)
def test_it_shares_its_messages_with_the_relay_without_losing_or_doubling_one(acme, together):
    """Whoever deletes the due row has the message."""
    batch_id, keys = insert(acme.tenant.pk, 600)
    leased: list[uuid.UUID] = []

    def race(number):
        if number:
            return batches.cancel(tenant_id=acme.tenant.pk, batch_id=batch_id, now=datetime.now(tz=UTC))
        for start in range(0, len(keys), 20):
            with connection.cursor() as cursor:
                cursor.execute(
                    "DELETE FROM gateway_duemessage WHERE message_id IN (SELECT message_id FROM gateway_duemessage"
                    " WHERE message_id = ANY(%s) FOR UPDATE SKIP LOCKED) RETURNING message_id",
                    [keys[-start - 20 : len(keys) - start]],
                )
                leased.extend(key for (key,) in cursor.fetchall())
        return 0

    canceled = sum(together(race, 4))
    assert canceled + len(leased) == 600
    assert set(Message.objects.filter(status="canceled").values_list("pk", flat=True)) == set(keys) - set(
        leased
    )


def test_it_is_found_by_index(acme):
    batch_id, _keys = bulk(acme)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN " + batches._COUNT,
            {"batch": batch_id, "tenant": acme.tenant.pk, **batches._range(uuid.UUID(batch_id))},
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "batch_id" in plan
    assert "Seq Scan" not in plan


def test_it_is_unknown_to_the_verbs_too(acme):
    with pytest.raises(errors.NotFound):
        batches.read(tenant_id=acme.tenant.pk, batch_id=uuid.uuid4())
    assert batches.cancel(tenant_id=acme.tenant.pk, batch_id=uuid.uuid4(), now=timezone.now()) == 0


@pytest.mark.parametrize("name", ["BatchCounts", "BatchCancellation"])
def test_it_is_described_as_it_is_answered(acme, name):
    batch_id, _keys = bulk(acme)
    answer = (
        acme.get(f"/v1/batches/{batch_id}")
        if name == "BatchCounts"
        else acme.post(f"/v1/batches/{batch_id}/cancel")
    )
    described = PART["schemas"][name]
    assert set(answer.json) == set(described["properties"])
    assert set(answer.json) == set(described["examples"][0])
