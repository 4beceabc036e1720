"""Bodies by format and encoding, as endpoints get them."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import inbound
from gateway.inbound import Arrival
from gateway.models import Event, Message
from tests.fakes.http_listener import Listener
from tests.webhooks import outcomes_of
from tests.webhooks.world import carry, make_facts, make_webhook
from webhooks import catalogue, fanout, holding, loading, rendering
from webhooks.formats import encodings
from webhooks.models import DueCallback, Webhook

HANDSET = "+14155550101"
AT = datetime(2026, 7, 2, 3, 4, 5, 678900, tzinfo=UTC)


def loaded():
    return outcomes_of.claimed()


def told(tenant, type_="message.delivered", **fields):
    """One message with an event, fanned out; the event."""
    metadata = {"order": "42", "a b": 'x "<&>" é'}
    (fact,) = make_facts(tenant, type=type_, **{"metadata": metadata, "text": 'Say "é" 💬'} | fields)
    Event.objects.filter(pk=fact.event_id).update(occurred_at=AT)
    fanout.fan_out([fact])
    return Event.objects.get(pk=fact.event_id)


def receive(tenant, text="Thank you"):
    arrival = Arrival(
        operator="one", sender=HANDSET, recipient="ACME", text=text, received_at=AT, raw={}, channel="sms"
    )
    (row,) = inbound.receive(tenant_id=tenant.pk, arrivals=[arrival])
    return row


def sent(tenant):
    return Message.objects.create(
        tenant_id=tenant.pk, channel="sms", recipient=HANDSET, sender="ACME", parts=1, status="delivered",
        text="Your order", created_at=datetime.now(tz=UTC), client_message_id="o-42", metadata={"order": "42"},
    )  # fmt: skip


def test_it_sends_a_delivery_report_as_messagemedia_does(tenant):
    make_webhook(tenant, format="messagemedia", events=["DELIVERED_DR"])
    event = told(tenant)
    (item,) = loaded()
    assert item.destination.content_type == b"application/json; charset=utf-8"
    assert json.loads(item.body) == {
        "delivery_report_id": str(event.pk),
        "source_number": "+14155550101",
        "date_received": "2026-07-02T03:04:05.678Z",
        "status": "delivered",
        "delay": "0",
        "submitted_date": "2026-07-02T03:04:05.678Z",
        "message_id": str(event.message_id),
        "original_text": 'Say "é" 💬',
        "vendor_account_id": {"vendor_id": "Trunkline", "account_id": "acme"},
        "error_code": "220",
        "metadata": {"order": "42", "a b": 'x "<&>" é'},
    }


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("accepted", "enroute"), ("sent", "submitted"), ("delivered", "delivered"), ("failed", "failed"),
        ("expired", "expired"), ("rejected", "rejected"),
    ],
)  # fmt: skip
def test_it_says_every_status_in_messagemedias_words(tenant, name, status):
    make_webhook(tenant, format="messagemedia", events=[f"message.{name}"])
    told(tenant, f"message.{name}")
    assert json.loads(loaded()[0].body)["status"] == status


def test_it_sends_a_reply_and_an_opt_out_as_messagemedia_does(tenant):
    make_webhook(tenant, format="messagemedia", events=["RECEIVED_SMS", "OPT_OUT_SMS"])
    original, row = sent(tenant), receive(tenant, "stop")
    bodies = [json.loads(item.body) for item in loaded()]
    (reply,) = [body for body in bodies if "reply_id" in body]
    (notice,) = [body for body in bodies if "notification_id" in body]
    common = {
        "account_id": "acme",
        "destination_number": "ACME",
        "source_number": HANDSET,
        "date_received": "2026-07-02T03:04:05.678Z",
        "message_id": str(original.pk),
        "content": "stop",
        "metadata": {"order": "42"},
    }
    event = Event.objects.get(message_id=row.pk, type="contact.opted_out")
    assert reply == {"reply_id": str(row.pk), **common}
    assert notice == {"notification_id": str(event.pk), **common}


def test_it_leaves_the_original_out_of_a_reply_to_nothing(tenant):
    make_webhook(tenant, format="messagemedia", events=["RECEIVED_SMS", "OPT_OUT_SMS"])
    receive(tenant, "stop")
    assert [("message_id" in json.loads(item.body)) for item in loaded()] == [False, False]


def test_it_knows_nothing_of_another_tenants_message(tenant, other):
    sent(other)
    make_webhook(tenant, events=["RECEIVED_SMS"], template="$!mtContent|$!mtId|$accountId")
    receive(tenant)
    assert [item.body for item in loaded()] == [b"||acme"]


@pytest.mark.parametrize("name", ["message.read", "message.canceled", "contact.opted_in"])
def test_it_sends_what_messagemedia_does_not_have_in_the_standard_way(tenant, name):
    webhook = make_webhook(tenant, format="messagemedia", events=[name])
    assert json.loads(rendering.sample_item(webhook, name).body)["type"] == name


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [
        ("accepted", None, "PROCESSED"), ("sent", None, "ACK"), ("delivered", None, "DELIVERED"),
        ("read", None, "READ"), ("failed", "UNDELIVERABLE", "NOT_DELIVERED"),
        ("failed", "INVALID_RECIPIENT", "BAD_DESTINATION"), ("expired", None, "NOT_DELIVERED"),
        ("rejected", "REJECTED_BY_OPERATOR", "NOT_ALLOWED"), ("canceled", None, "NOT_DELIVERED"),
        ("rejected", "RECIPIENT_OPTED_OUT", "BLACKLISTED_NUMBER"),
    ],
)  # fmt: skip
def test_it_sends_a_delivery_receipt_as_octopush_does(tenant, name, error, status):
    make_webhook(tenant, format="octopush", events=[f"message.{name}"])
    event = told(tenant, f"message.{name}", metadata={"order": "42"})
    Event.objects.filter(pk=event.pk).update(error_code=error)
    (item,) = loaded()
    assert json.loads(item.body) == {
        "channel": "sms",
        "message_id": str(event.message_id),
        "number": "+14155550101",
        "status": status,
        "delivery_date": "2026-07-02 05:04:05",
        "meta_data": {"order": "42"},
    }


def test_it_sends_a_reply_and_an_opt_out_as_octopush_does(tenant):
    make_webhook(tenant, format="octopush", events=["message.received", "contact.opted_out"])
    original = sent(tenant)
    receive(tenant, "stop")
    bodies = sorted((json.loads(item.body) for item in loaded()), key=len)
    common = {"message_id": str(original.pk), "number": HANDSET, "text": "stop"}
    at = "2026-07-02 05:04:05"
    assert bodies == [
        {**common, "stop_date": at},
        {**common, "sim_card_number": "ACME", "reception_date": at, "answer_date": at},
    ]


def test_it_gives_octopush_endpoints_a_second_at_most(tenant):
    for name, timeout in (("one", None), ("two", 20_000), ("three", 400)):
        make_webhook(tenant, f"http://127.0.0.1:9/{name}", format="octopush", read_timeout=timeout)
    told(tenant)
    assert sorted(item.destination.deadline for item in loaded()) == [0.4, 1.0, 1.0]


def test_it_sends_octopush_callbacks_as_forms_with_the_metadata_as_json(tenant):
    make_webhook(tenant, format="octopush", encoding="FORM_ENCODED")
    told(tenant)
    (item,) = loaded()
    pairs = dict(parse_qsl(item.body.decode(), strict_parsing=True))
    assert item.destination.content_type == b"application/x-www-form-urlencoded; charset=utf-8"
    assert list(pairs) == ["channel", "message_id", "number", "status", "delivery_date", "meta_data"]
    assert json.loads(pairs["meta_data"]) == {"order": "42", "a b": 'x "<&>" é'}


def test_it_sends_the_standard_body_as_a_form(tenant):
    make_webhook(tenant, encoding="FORM_ENCODED")
    event = told(tenant)
    pairs = dict(parse_qsl(loaded()[0].body.decode(), strict_parsing=True, keep_blank_values=True))
    assert (pairs["type"], pairs["timestamp"]) == ("message.delivered", "2026-07-02T03:04:05.678Z")
    assert (pairs["id"], pairs["statusCode"], pairs["from"]) == (str(event.message_id), "220", "ACME")
    assert json.loads(pairs["operatorData"]) == {"code": "DELIVRD"}
    assert "errorCode" not in pairs


def test_it_sends_the_standard_body_as_xml(tenant):
    make_webhook(tenant, encoding="XML")
    event = told(tenant)
    (item,) = loaded()
    root = ET.fromstring(item.body)
    assert item.destination.content_type == b"application/xml; charset=utf-8"
    assert (root.tag, root.findtext("type")) == ("callback", "message.delivered")
    assert root.findtext("data/id") == str(event.message_id)
    assert {each.get("key"): each.text for each in root.findall("data/metadata/entry")} == {
        "order": "42",
        "a b": 'x "<&>" é',
    }
    assert root.find("data/errorCode") is None


@given(st.dictionaries(st.text(), st.text()))
def test_it_makes_xml_and_forms_that_read_back_of_any_text(found):
    root = ET.fromstring(encodings.xml({"metadata": found, "text": "\x00\x0b]]>\r"}))
    plain = {name: text for name, text in found.items() if (name + text).isprintable()}
    entries = {each.get("key"): each.text or "" for each in root.findall("metadata/entry")}
    assert {name: entries.get(name) for name in plain} == plain
    assert root.findtext("text") == "\ufffd\ufffd]]>\r"
    form = dict(parse_qsl(encodings.form({"metadata": found}).decode()))
    assert json.loads(form["metadata"]) == found


@pytest.mark.parametrize("encoding", ["JSON", "FORM_ENCODED", "XML"])
def test_it_sends_what_the_template_gives_in_every_encoding(tenant, encoding):
    make_webhook(
        tenant, encoding=encoding, template="<$mtId>\r\n$mtContent&$accountId;$billingUnits $format\n"
    )
    event = told(tenant)
    (item,) = loaded()
    assert item.body.decode() == f'<{event.message_id}>\r\nSay "é" 💬&acme;1 SMS\n'
    assert item.destination.content_type == encodings.CONTENT_TYPES[encoding]


def test_it_counts_the_attempts_before_in_retry_count(tenant):
    make_webhook(tenant, template="$retryCount")
    told(tenant)
    assert loaded()[0].body == b"0"
    DueCallback.objects.update(base=2, attempt=3, leased=False, next_attempt_at=AT)
    assert loaded()[0].body == b"5"


def test_it_has_the_documented_variables_for_each_kind_of_event(tenant):
    names = "drId moId notificationId destinationAddress moContent status billingUnits attachments"
    template = "|".join(f"$!{name}" for name in names.split())
    make_webhook(tenant, template=template, events=["message.sent", "message.received", "contact.opted_out"])
    event = told(tenant, "message.sent")
    row = receive(tenant, "stop")
    bodies = {item.body.decode() for item in loaded()}
    opted_out = Event.objects.get(message_id=row.pk, type="contact.opted_out")
    assert bodies == {
        f"{event.pk}|||||submitted|1|",
        f"|{row.pk}||ACME|stop|||",
        f"||{opted_out.pk}|ACME|stop|||",
    }


def test_it_says_which_template_failed_and_sends_the_others(tenant):
    make_webhook(tenant, "http://127.0.0.1:9/bad", template="#foreach($i in [1..2000])#end")
    make_webhook(tenant, "http://127.0.0.1:9/old", template="#if(")
    make_webhook(tenant, "http://127.0.0.1:9/good", template="fine")
    told(tenant)
    items = loaded()
    assert sorted(item.body for item in items) == [b"", b"", b"fine"]
    assert sorted(item.unrendered or "" for item in items) == [
        "",
        "a range in the template has more than 1,000 items",
        "line 1: a value is missing, or is one that may not be used",
    ]


def test_it_asks_for_texts_once_a_chunk_and_only_if_a_body_has_them(tenant, django_assert_num_queries):
    make_webhook(tenant, "http://127.0.0.1:9/plain")
    make_webhook(tenant, "http://127.0.0.1:9/ids", template="$mtId $status $metadata.order")
    make_webhook(tenant, "http://127.0.0.1:9/octopush", format="octopush")
    with_text = make_webhook(tenant, "http://127.0.0.1:9/text", template="$mtContent", active=False)
    told(tenant)
    callback_ids, until = outcomes_of.relay.claim()
    with django_assert_num_queries(3):
        assert len(loading.load(callback_ids=callback_ids, leased_until=until)) == 3
    with_text.active = True
    with_text.save()
    holding.resume(endpoint=with_text.pk)
    told(tenant)
    callback_ids, until = outcomes_of.relay.claim()
    with django_assert_num_queries(4):
        assert len(loading.load(callback_ids=callback_ids, leased_until=until)) == 5


def test_it_batches_json_of_its_own_making_only(tenant):
    batch = {"batch_max_events": 50, "batch_max_delay_ms": 250}
    for path, fields in {
        "plain": {}, "mm": {"format": "messagemedia"}, "template": {"template": "{}"}, "xml": {"encoding": "XML"},
        "form": {"encoding": "FORM_ENCODED"}, "octopush": {"format": "octopush"}, "get": {"method": "GET"},
    }.items():  # fmt: skip
        make_webhook(tenant, f"http://127.0.0.1:9/{path}", **batch, **fields)
    told(tenant)
    found = {item.target.head.split()[1]: item.destination for item in loaded()}
    assert {path for path, destination in found.items() if destination.batch_events == 50} == {
        b"/plain",
        b"/mm",
    }
    assert {found[b"/plain"].batch_seconds, found[b"/xml"].batch_seconds} == {0.25, 0.0}


@pytest.mark.parametrize("event", sorted(catalogue.OWN | catalogue.MESSAGEMEDIA.keys()))
@pytest.mark.parametrize("format_", ["standard", "messagemedia", "octopush"])
@pytest.mark.parametrize("encoding", ["JSON", "FORM_ENCODED", "XML"])
def test_it_has_a_sample_of_every_event_in_every_format(tenant, event, format_, encoding):
    webhook = make_webhook(tenant, format=format_, encoding=encoding, events=[event])
    item = rendering.sample_item(webhook, event)
    read = {"JSON": json.loads, "FORM_ENCODED": lambda body: parse_qsl(body.decode()), "XML": ET.fromstring}
    assert read[encoding](item.body) is not None
    assert (item.unrendered, item.endpoint, len(item.event_id)) == (None, str(webhook.pk), 36)


def test_it_has_no_sample_of_an_unknown_event(tenant):
    with pytest.raises(ValueError, match="no event"):
        rendering.sample_item(make_webhook(tenant), "message.lost")


@pytest.mark.django_db(transaction=True)
def test_it_tells_other_webhooks_of_one_that_was_disabled(sending, tenant):
    with Listener() as listener:
        make_webhook(tenant, listener.url(), events=["webhook.disabled"])
        ended = make_webhook(tenant, "https://user:pw@hooks.example.com/secret")
        holding.disable(webhook_id=ended.pk, reason="It failed for 5 days.")
        carry()
        (request,) = listener.wait_for(1)
    body = json.loads(request.body)
    assert (body["type"], body["data"]["webhookId"]) == ("webhook.disabled", str(ended.pk))
    assert body["data"]["url"] == "https://hooks.example.com"
    assert body["data"]["reason"] == "It failed for 5 days."


def test_it_leaves_callbacks_whose_secret_does_not_open_to_their_leases(tenant):
    broken = make_webhook(tenant)
    Webhook.objects.filter(pk=broken.pk).update(secret=b"nothing that was ever sealed")
    sound = make_webhook(tenant, "http://127.0.0.1:9/other")
    told(tenant)
    assert [item.endpoint for item in loaded()] == [str(sound.pk)]
    waiting = DueCallback.objects.get(endpoint=broken.pk)
    assert waiting.leased
