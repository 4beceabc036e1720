"""What a tenant can try in its sandbox."""

import pytest

from gateway import errors, magic
from gateway.models import Event, InboundMessage, Message, OptOut
from tests.factories import Caller, message

pytestmark = pytest.mark.django_db

PATH = "/v1/sandbox/inbound"
WRITES = {"from": "+14155550101", "to": "ACME", "text": "Hello"}
ON = {"x_developer_mode": "true"}


@pytest.mark.parametrize(
    ("recipient", "status", "code"),
    [
        ("+15005550001", 400, "INVALID_RECIPIENT"),
        ("+15005550002", 422, "NO_ROUTE"),
        ("+15005550004", 422, "RECIPIENT_OPTED_OUT"),
    ],
)
def test_it_refuses_the_recipients_that_stand_for_it(acme, recipient, status, code):
    refused = acme.post("/v1/messages", message(to=recipient), **ON)
    assert (refused.status, refused.code) == (status, code)
    assert [detail["field"] for detail in refused.json["details"]] == ["to"] * (status == 400)
    assert not Message.objects.exists()
    assert acme.post("/v1/messages", message(to=recipient)).status == 200


@pytest.mark.parametrize("recipient", [f"+150055500{number:02}" for number in (6, 7, 8, 9, 10, 11)])
def test_it_accepts_the_others(acme, recipient):
    assert acme.post("/v1/messages", message(to=recipient), **ON).status == 200


def test_it_knows_them_in_a_bulk_call(acme):
    numbers = ["+15005550001", "+15005550006", "+15005550002"]
    sent = acme.post("/v1/messages/bulk", {"messages": [message(to=number) for number in numbers]}, **ON)
    assert [result.get("error", {}).get("errorCode") for result in sent.json["results"]] == [
        "INVALID_RECIPIENT",
        None,
        "NO_ROUTE",
    ]


def test_it_means_nothing_to_real_tenants():
    for recipient in (magic.INVALID, magic.NO_ROUTE, magic.OPTED_OUT):
        assert magic.refusal(tenant_id=1, recipient=recipient) is None
        assert isinstance(magic.refusal(tenant_id=-1, recipient=recipient), errors.Problem)
    assert magic.refusal(tenant_id=-1, recipient="+15005550006") is None


def test_it_takes_a_handsets_message(acme, other):
    sent = acme.post("/v1/messages", message(**{"from": "ACME"}), **ON).json["id"]
    came = acme.post(PATH, WRITES, **ON)
    assert came.status == 201
    assert {name: came.json[name] for name in ("channel", "from", "to", "text", "operator", "inReplyTo")} == {
        "channel": "sms",
        "from": "+14155550101",
        "to": "ACME",
        "text": "Hello",
        "operator": "sandbox",
        "inReplyTo": sent,
    }
    assert acme.get("/v1/inbound", **ON).json["data"][0]["id"] == came.json["id"]
    assert acme.get("/v1/inbound").json["data"] == []
    assert other.get("/v1/inbound", **ON).json["data"] == []
    assert [event.tenant_id for event in Event.objects.filter(type="message.received")] == [-acme.tenant.pk]


def test_it_knows_what_to_do_when_only_the_least_is_said(acme):
    came = acme.post(
        f"{PATH}/", {"from": "+14155550101", "text": "x" * 1600, "to": None, "channel": None}, **ON
    )
    assert (came.status, came.json["to"], came.json["channel"]) == (201, "SANDBOX", "sms")
    assert acme.post(PATH, WRITES | {"channel": "whatsapp"}, **ON).json["channel"] == "whatsapp"


def test_it_opts_out_in_the_sandbox_alone(acme):
    came = acme.post(PATH, WRITES | {"text": "STOP"}, **ON).json
    assert (came["keyword"], came["action"]) == ("STOP", "optOut")
    assert [row.tenant_id for row in OptOut.objects.all()] == [-acme.tenant.pk]
    assert acme.post("/v1/messages", message(), **ON).code == "RECIPIENT_OPTED_OUT"
    assert acme.post("/v1/messages", message()).status == 200
    reply = Message.objects.for_tenant(-acme.tenant.pk).get()
    assert (reply.exempt, reply.recipient, reply.sender) == (True, "+14155550101", "ACME")
    acme.post(PATH, WRITES | {"text": "start"}, **ON)
    assert acme.post("/v1/messages", message(), **ON).status == 200


def test_it_is_nowhere_else(acme):
    refused = acme.post(PATH, WRITES)
    assert (refused.status, refused.code) == (403, "FEATURE_DISABLED")
    assert "x-developer-mode" in refused.json["message"]
    assert not InboundMessage.objects.exists()


def test_it_asks_for_its_permission(acme):
    reader = Caller(acme.tenant, name="reader", permissions=["inbound:read"])
    assert reader.post(PATH, WRITES, **ON).code == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"from": None}, "from", "VALIDATION_FAILED"),
        ({"from": "ACME"}, "from", "INVALID_RECIPIENT"),
        ({"from": 14155550101}, "from", "VALIDATION_FAILED"),
        ({"to": "!"}, "to", "INVALID_SENDER"),
        ({"to": "x" * 17}, "to", "VALIDATION_FAILED"),
        ({"text": None}, "text", "VALIDATION_FAILED"),
        ({"text": ""}, "text", "VALIDATION_FAILED"),
        ({"text": "x" * 1601}, "text", "VALIDATION_FAILED"),
        ({"channel": "fax"}, "channel", "VALIDATION_FAILED"),
        ({"tenant": 1}, "tenant", "VALIDATION_FAILED"),
    ],
)
def test_it_names_what_is_wrong(acme, change, field, code):
    refused = acme.post(PATH, WRITES | change, **ON)
    assert (refused.status, refused.code) == (400, code)
    assert [detail["field"] for detail in refused.json["details"]] == [field]
    assert not InboundMessage.objects.exists()
