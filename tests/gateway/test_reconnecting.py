"""PostgreSQL may be restarted at any moment: what was answered 200 is there, and once."""

import pytest
from django.db import OperationalError, connection, transaction

from gateway import submission
from gateway.models import Message
from tests.factories import message


def terminate() -> None:
    """End this thread's connection from the server's side, by another connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 1000)", [pid])
    finally:
        other.close()


@pytest.fixture
def caller(transactional_db, acme):
    acme.post("/v1/messages", message())
    return acme


def test_reconnects_when_its_connection_is_gone(caller):
    terminate()
    assert caller.post("/v1/messages", message(clientMessageId="a")).status == 200
    assert caller.post("/v1/messages", message(clientMessageId="a")).headers["Idempotent-Replayed"] == "true"


def test_stores_a_message_once_when_the_commit_s_answer_is_lost(caller, monkeypatch):
    committed = []
    exit_ = transaction.Atomic.__exit__

    def lose(self, *arguments):
        exit_(self, *arguments)
        if not committed:
            committed.append(True)
            terminate()
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")

    monkeypatch.setattr(transaction.Atomic, "__exit__", lose)
    answer = caller.post("/v1/messages", message(content={"text": "once"}))
    assert answer.status == 200
    assert committed
    assert [str(key) for key in Message.objects.filter(text="once").values_list("pk", flat=True)] == [
        answer.json["id"]
    ]


def test_answers_503_when_there_is_nothing_to_reconnect_to(caller, monkeypatch):
    connection.close()
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "HOST", "/nowhere")
        answer = caller.post("/v1/messages", message())
    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    connection.close()
    assert caller.post("/v1/messages", message()).status == 200


def test_does_not_try_again_inside_another_s_transaction(caller):
    now = Message.objects.get().created_at
    asked = submission.Submission(tenant_id=caller.tenant.pk, recipient="+14155550101", text="x")

    def within_another():
        with transaction.atomic():
            terminate()
            submission.accept(submissions=[asked], now=now)

    with pytest.raises(OperationalError):
        within_another()
    connection.close()
    assert Message.objects.count() == 1
