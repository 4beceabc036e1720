"""What webhooks are told of handsets' messages and of consent."""

import json
from datetime import UTC, datetime

import pytest

from gateway import inbound
from gateway.inbound import Arrival
from gateway.models import Event, Keyword, Message
from tests.fakes.http_listener import Listener
from tests.webhooks.world import carry, make_facts, make_webhook
from webhooks import fanout
from webhooks.models import Callback, DueCallback

HANDSET = "+14155550101"


def receive(tenant, text="Hello", **fields):
    given = {
        "operator": "one",
        "sender": HANDSET,
        "recipient": "ACME",
        "text": text,
        "received_at": datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC),
        "raw": {},
    }
    (row,) = inbound.receive(tenant_id=tenant.pk, arrivals=[Arrival(**given | fields)])
    return row


def callbacks() -> list[str]:
    return sorted(Callback.objects.exclude(type="message.accepted").values_list("type", flat=True))


@pytest.mark.parametrize(
    ("names", "channel", "types"),
    [
        (["message.received"], "sms", ["message.received"]),
        (["message.received"], "rcs", ["message.received"]),
        (["contact.opted_out", "message.received"], "sms", ["contact.opted_out", "message.received"]),
        (["RECEIVED_SMS"], "sms", ["message.received"]),
        (["RECEIVED_SMS", "OPT_OUT_SMS"], "sms", ["contact.opted_out", "message.received"]),
        (["RECEIVED_SMS", "OPT_OUT_SMS"], "whatsapp", []),
        (["RECEIVED_MMS"], "sms", []),
        (["contact.opted_in", "DELIVERED_DR", "message.delivered"], "sms", []),
    ],
)
def test_it_is_told_to_those_who_asked(tenant, other, names, channel, types):
    make_webhook(tenant, events=names)
    make_webhook(other, events=names)
    receive(tenant, "stop", channel=channel)
    assert callbacks() == types
    assert {row.tenant_id for row in Callback.objects.all()} <= {tenant.pk}


@pytest.mark.django_db(transaction=True)
def test_it_says_what_came(sending, tenant):
    sent = Message.objects.create(
        tenant_id=tenant.pk,
        channel="sms",
        recipient=HANDSET,
        sender="ACME",
        parts=1,
        status="delivered",
        created_at=datetime.now(tz=UTC),
        client_message_id="o-42",
        metadata={"order": "42"},
    )
    with Listener() as listener:
        make_webhook(tenant, listener.url(), events=["message.received"])
        row = receive(tenant, 'Say "é" 💬')
        carry()
        (request,) = listener.wait_for(1)
    body = json.loads(request.body)
    assert body == {
        "type": "message.received",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "data": {
            "id": str(row.id),
            "channel": "sms",
            "from": HANDSET,
            "to": "ACME",
            "text": 'Say "é" 💬',
            "keyword": None,
            "action": None,
            "inReplyTo": str(sent.id),
            "clientMessageId": "o-42",
            "metadata": {"order": "42"},
            "operator": "one",
            "sequence": 1,
            "occurredAt": "2026-01-02T03:04:05.678Z",
        },
    }
    assert request.headers["webhook-id"] == str(Event.objects.get(message_id=row.id).pk)


@pytest.mark.django_db(transaction=True)
def test_it_says_who_has_opted_out_and_in(sending, tenant):
    with Listener() as listener:
        make_webhook(tenant, listener.url(), events=["contact.opted_out", "contact.opted_in"])
        out, back = receive(tenant, "Stop!"), receive(tenant, "start")
        carry()
        requests = listener.wait_for(2)
    found = {body["type"]: body for body in (json.loads(request.body) for request in requests)}
    assert found["contact.opted_out"] == {
        "type": "contact.opted_out",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "data": {
            "phone": HANDSET,
            "scope": "tenant",
            "sender": None,
            "reason": "STOP",
            "text": "Stop!",
            "inboundId": str(out.id),
            "channel": "sms",
            "sequence": 2,
            "occurredAt": "2026-01-02T03:04:05.678Z",
        },
    }
    assert found["contact.opted_in"]["data"]["inboundId"] == str(back.id)


@pytest.mark.django_db(transaction=True)
def test_it_is_forwarded_to_the_keywords_url_without_telling_it(sending, tenant):
    with Listener() as listener:
        url = listener.url()
        Keyword.objects.create(
            tenant_id=tenant.pk, keyword="JOIN", match="firstWord", action="forward", callback_url=url
        )
        receive(tenant, "join me")
        receive(tenant, "hello")
        carry()
        (request,) = listener.wait_for(1)
    data = json.loads(request.body)["data"]
    assert (data["keyword"], data["action"], data["text"]) == ("JOIN", "forward", "join me")
    assert url not in request.body.decode()


@pytest.mark.django_db(transaction=True)
def test_it_goes_out_beside_what_is_told_of_messages(sending, tenant):
    with Listener() as listener:
        make_webhook(tenant, listener.url(), events=["message.received", "message.delivered"])
        receive(tenant)
        fanout.fan_out(make_facts(tenant, 2))
        carry()
        types = sorted(json.loads(request.body)["type"] for request in listener.wait_for(3))
    assert types == ["message.delivered", "message.delivered", "message.received"]


@pytest.mark.django_db(transaction=True)
def test_it_gives_up_what_has_lost_its_message(sending, tenant):
    make_webhook(tenant, events=["message.delivered"])
    fanout.fan_out(make_facts(tenant))
    Message.objects.all().delete()
    carry()
    assert not DueCallback.objects.exists()
    assert Callback.objects.get().state == "dead"
