from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from gateway import backlog, idempotency
from gateway.idempotency import Claim
from gateway.models import DueMessage, Event, IdempotencyKey, Message
from tests.factories import message


def answered(answer) -> dict:
    return {name: value for name, value in answer.json.items() if name != "requestId"}


def test_answers_a_repeat_with_the_original(acme):
    asked = message(clientMessageId="a", metadata={"x": "1", "y": "2"})
    first = acme.post("/v1/messages", asked)
    again = acme.post("/v1/messages", dict(reversed(asked.items())))
    assert again.status == 200
    assert answered(again) == answered(first)
    assert again.json["requestId"] != first.json["requestId"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert Message.objects.count() == Event.objects.count() == DueMessage.objects.count() == 1


def test_answers_a_repeat_as_it_answered_then(acme):
    at = (timezone.now() + timedelta(seconds=30)).isoformat()
    first = acme.post("/v1/messages", message(clientMessageId="a", sendAt=at))
    acme.post(f"/v1/messages/{first.json['id']}/cancel")
    again = acme.post("/v1/messages", message(clientMessageId="a", sendAt=at))
    assert answered(again) == answered(first)


def test_refuses_another_message_under_the_same_id(acme):
    acme.post("/v1/messages", message(clientMessageId="a"))
    answer = acme.post("/v1/messages", message(clientMessageId="a", content={"text": "another"}))
    assert (answer.status, answer.code, answer.json["retryable"]) == (409, "IDEMPOTENCY_CONFLICT", False)
    assert Message.objects.count() == 1


def test_takes_the_header_too(acme):
    first = acme.post("/v1/messages", message(), idempotency_key="k")
    again = acme.post("/v1/messages", message(), idempotency_key="k")
    assert first.json["id"] == again.json["id"]
    assert first.json["clientMessageId"] is None
    assert (
        acme.post("/v1/messages", message(priority="bulk"), idempotency_key="k").code
        == "IDEMPOTENCY_CONFLICT"
    )


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\x01"])
def test_refuses_a_header_that_is_no_key(acme, key):
    answer = acme.post("/v1/messages", message(), idempotency_key=key)
    assert (answer.status, answer.json["details"][0]["field"]) == (400, "Idempotency-Key")


def test_is_each_tenant_s_own(acme, other):
    mine = acme.post("/v1/messages", message(clientMessageId="a"))
    theirs = other.post("/v1/messages", message(clientMessageId="a"))
    assert mine.json["id"] != theirs.json["id"]


def test_lasts_a_day(acme):
    first = acme.post("/v1/messages", message(clientMessageId="a"))
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=23, minutes=59))
    assert acme.post("/v1/messages", message(clientMessageId="a")).json["id"] == first.json["id"]
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    later = acme.post("/v1/messages", message(clientMessageId="a", priority="high"))
    assert later.status == 200
    assert later.json["id"] != first.json["id"]
    assert (
        acme.post("/v1/messages", message(clientMessageId="a", priority="high")).json["id"]
        == later.json["id"]
    )


def test_makes_one_message_of_fifty_at_the_same_instant(transactional_db, acme, together):
    answers = together(lambda _: acme.post("/v1/messages", message(clientMessageId="a")), 50)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert Message.objects.count() == Event.objects.count() == DueMessage.objects.count() == 1


def test_makes_one_message_of_bulk_calls_that_cross(transactional_db, acme, together):
    def call(number):
        asked = [message(clientMessageId=f"m{n}") for n in range(30)]
        return acme.post("/v1/messages/bulk", {"messages": asked if number % 2 else asked[::-1]})

    answers = together(call, 8)
    assert {answer.status for answer in answers} == {200}
    assert {answer.json["accepted"] for answer in answers} == {30}
    assert Message.objects.count() == 30


def test_waits_for_whoever_holds_the_key(transactional_db, acme, together):
    """The other has not committed yet; whether it will decides."""
    from django.db import transaction

    def work(number):
        if number:
            return acme.post("/v1/messages", message(clientMessageId="a"))
        with transaction.atomic():
            claim = Claim((acme.tenant.pk, "a"), b"x", Message._meta.pk.get_default())
            idempotency.claim(claims=[claim], now=timezone.now())
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.2)")
            transaction.set_rollback(True)
        return None

    answers = [answer for answer in together(work, 3) if answer]
    assert [answer.status for answer in answers] == [200, 200]
    assert Message.objects.count() == 1


def test_repeats_within_one_bulk_call_count_as_across_calls(acme):
    same = message(clientMessageId="a")
    answer = acme.post("/v1/messages/bulk", {"messages": [same, same, {**same, "priority": "high"}]})
    first, second, third = answer.json["results"]
    assert first["id"] == second["id"]
    assert third["error"]["errorCode"] == "IDEMPOTENCY_CONFLICT"
    assert Message.objects.count() == 1


def test_answers_a_bulk_call_s_repeat_with_the_original(acme):
    asked = {"messages": [message(), message(to="nonsense")]}
    first = acme.post("/v1/messages/bulk", asked, idempotency_key="k")
    again = acme.post("/v1/messages/bulk", asked, idempotency_key="k")
    assert answered(first) == answered(again)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json["requestId"] != first.json["requestId"]
    conflict = acme.post("/v1/messages/bulk", {"messages": [message()]}, idempotency_key="k")
    assert conflict.code == "IDEMPOTENCY_CONFLICT"
    assert Message.objects.count() == 1


def test_gives_the_original_batch_when_every_message_is_a_repeat(acme):
    asked = {"messages": [message(clientMessageId="a"), message(clientMessageId="b")]}
    first = acme.post("/v1/messages/bulk", asked)
    again = acme.post("/v1/messages/bulk", asked)
    assert answered(first) == answered(again)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_forgets_a_bulk_call_of_which_nothing_was_accepted(acme):
    bad = acme.post("/v1/messages/bulk", {"messages": [message(to="x")]}, idempotency_key="k")
    assert bad.code == "ALL_MESSAGES_INVALID"
    assert acme.post("/v1/messages/bulk", {"messages": [message()]}, idempotency_key="k").status == 200


def test_forgets_a_message_that_was_refused(acme):
    acme.tenant.backlog_limit = 0
    acme.tenant.save()
    assert acme.post("/v1/messages", message(clientMessageId="a")).status == 429
    acme.tenant.backlog_limit = None
    acme.tenant.save()
    from gateway import keys

    keys.forget()
    backlog.forget()
    assert acme.post("/v1/messages", message(clientMessageId="a")).status == 200
