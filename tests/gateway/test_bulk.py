from gateway.models import DueMessage, Event, Message
from tests.factories import message


def test_gives_each_message_its_result_in_order(acme):
    answer = acme.post(
        "/v1/messages/bulk",
        {
            "messages": [
                message(clientMessageId="a"),
                message(to="nonsense"),
                message(),
                {"to": "+14155550103"},
            ]
        },
    )
    assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (200, 2, 2)
    first, second, third, fourth = answer.json["results"]
    assert first == {"index": 0, "id": first["id"], "status": "accepted", "clientMessageId": "a"}
    assert second["error"]["errorCode"] == "INVALID_RECIPIENT"
    assert set(second) == {"index", "error"}
    assert third["clientMessageId"] is None
    assert fourth["error"]["details"][0] == {
        "field": "content",
        "code": "REQUIRED",
        "message": "This member is required.",
    }
    assert {str(row.batch_id) for row in Message.objects.all()} == {answer.json["batchId"]}
    assert Event.objects.count() == DueMessage.objects.count() == 2


def test_fills_in_the_defaults(acme):
    answer = acme.post(
        "/v1/messages/bulk",
        {
            "defaults": {"from": "ACME", "content": {"text": "hello"}, "priority": "bulk"},
            "messages": [{"to": "+14155550101"}, {"to": "+14155550102", "from": "OTHER", "priority": "high"}],
        },
    )
    assert answer.json["accepted"] == 2
    rows = Message.objects.order_by("id").values_list("sender", "text", "priority")
    assert list(rows) == [("ACME", "hello", 2), ("OTHER", "hello", 0)]


def test_takes_a_thousand(acme, django_assert_max_num_queries):
    asked = {"messages": [message(clientMessageId=f"m{n}", metadata={"n": str(n)}) for n in range(1000)]}
    with django_assert_max_num_queries(12):
        answer = acme.post("/v1/messages/bulk/", asked)
    assert (answer.status, answer.json["accepted"]) == (200, 1000)
    ids = [result["id"] for result in answer.json["results"]]
    assert ids == sorted(ids)
    assert Message.objects.count() == Event.objects.count() == DueMessage.objects.count() == 1000
    assert Message.objects.get(pk=ids[7]).client_message_id == "m7"


def test_gives_one_message_and_one_bulk_item_the_same_identity(acme):
    one = acme.post("/v1/messages", message(clientMessageId="a"))
    bulk = acme.post(
        "/v1/messages/bulk", {"defaults": {"to": "+14155550101"}, "messages": [message(clientMessageId="a")]}
    )
    assert bulk.json["results"][0]["id"] == one.json["id"]
