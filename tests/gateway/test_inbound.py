"""What a handset's message brings about."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway import consent_words, ids, inbound, opt_outs
from gateway.inbound import Arrival
from gateway.models import Event, InboundMessage, Message, OptOut
from tests.factories import Caller, message

pytestmark = pytest.mark.django_db

PATH = "/v1/inbound"
HANDSET = "+14155550101"


def arrival(text="Hello", **fields) -> Arrival:
    given = {
        "operator": "one",
        "sender": HANDSET,
        "recipient": "ACME",
        "text": text,
        "received_at": datetime.now(tz=UTC),
        "raw": {},
    }
    return Arrival(**given | fields)


def receive(caller: Caller, *texts: str, **fields) -> list[InboundMessage]:
    return inbound.receive(
        tenant_id=caller.tenant.pk, arrivals=[arrival(text, **fields) for text in texts or ("Hello",)]
    )


def replies(caller: Caller) -> list[str]:
    return [row.text for row in Message.objects.for_tenant(caller.tenant.pk).filter(exempt=True)]


def events(caller: Caller) -> list[str]:
    rows = Event.objects.for_tenant(caller.tenant.pk).exclude(type="message.accepted")
    return [row.type for row in rows.order_by("id")]


def is_out(caller: Caller, phone: str = HANDSET) -> bool:
    return opt_outs.blocked(wanted=[(caller.tenant.pk, phone, "ACME")])[0]


def test_it_keeps_what_is_nobodys(db):
    inbound.store(arrivals=[arrival("a\0b")])
    row = InboundMessage.objects.get()
    assert (row.tenant_id, row.text) == (None, "a\ufffdb")


def test_it_shows_a_tenant_what_came(acme, other):
    (row,) = receive(acme, "Hello", recipient="+14155550100", channel="whatsapp")
    expected = {
        "id": str(row.id),
        "channel": "whatsapp",
        "from": HANDSET,
        "to": "+14155550100",
        "text": "Hello",
        "operator": "one",
        "keyword": None,
        "action": None,
        "inReplyTo": None,
    }
    one = acme.get(f"{PATH}/{row.id}").json
    assert {name: one[name] for name in expected} == expected
    assert one["receivedAt"].endswith("Z")
    (listed,) = acme.get(PATH).json["data"]
    assert listed == {name: value for name, value in one.items() if name != "requestId"}
    assert other.get(f"{PATH}/{row.id}").status == 404
    assert other.get(PATH).json["data"] == []
    assert acme.get(f"{PATH}/{row.id}", x_developer_mode="true").status == 404
    assert acme.get(PATH, x_developer_mode="true").json["data"] == []
    assert acme.get(f"{PATH}/x").status == 404


def test_it_lists_newest_first_in_pages(acme):
    keys = [str(row.id) for row in receive(acme, *"abcde")][::-1]
    first = acme.get(f"{PATH}?limit=2").json
    second = acme.get(f"{PATH}/?limit=3&cursor={first['nextCursor']}").json
    assert [row["id"] for row in first["data"] + second["data"]] == keys
    assert second["nextCursor"] is None


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("from=%2B14155550101", ["a", "stop"]),
        ("from=+14155550101", ["a", "stop"]),
        ("from=14155550101", ["a", "stop"]),
        ("from=4242", []),
        ("to=4242", ["b"]),
        ("to=%2B4242", ["b"]),
        ("to=+4242", ["b"]),
        ("channel=rcs", ["b"]),
        ("keyword=Stop", ["stop"]),
        ("createdAfter=2026-01-01T00:00:00Z&channel=sms", ["a", "stop"]),
        ("createdBefore=2026-01-01T00:00:00Z", []),
        ("createdAfter=1970-01-01T00:00:00Z&createdBefore=9999-12-31T23:59:59Z&keyword=stop", ["stop"]),
    ],
)
def test_it_lists_what_is_asked_for(acme, query, texts):
    receive(acme, "a", "stop")
    receive(acme, "b", sender="+14155550102", recipient="4242", channel="rcs")
    assert sorted(row["text"] for row in acme.get(f"{PATH}?{query}").json["data"]) == sorted(texts)


@pytest.mark.parametrize(
    "query", ["channel=fax", "createdAfter=now", "x=1", "limit=0", "cursor=!", "from=a&from=b", "to=%00"]
)
def test_it_refuses_a_list_that_makes_no_sense(acme, query):
    refused = acme.get(f"{PATH}?{query}")
    assert refused.status == 400
    assert refused.json["details"][0]["field"] == query.partition("=")[0]


def test_it_asks_for_its_permission(acme):
    sender = Caller(acme.tenant, name="sender", permissions=["messages:send"])
    assert sender.get(PATH).status == 403
    assert sender.get(f"{PATH}/{ids.one()}").status == 403


def test_it_knows_what_a_message_answers(acme, other):
    acme.post("/v1/messages", message(to="+14155550102"))
    other.post("/v1/messages", message())
    assert receive(acme)[0].in_reply_to is None
    first = acme.post("/v1/messages", message(**{"from": "ACME"})).json["id"]
    second = acme.post("/v1/messages", message(**{"from": "OTHER"})).json["id"]
    acme.post("/v1/messages", message(sendAt=(datetime.now(tz=UTC) + timedelta(days=1)).isoformat()))
    answers = [receive(acme, recipient=to)[0] for to in ("acme", "OTHER", "4242")]
    assert [str(row.in_reply_to) for row in answers] == [first, second, second]
    assert acme.get(f"{PATH}/{answers[0].id}").json["inReplyTo"] == first


def test_it_knows_a_number_without_its_plus(acme):
    sent = acme.post("/v1/messages", message()).json["id"]
    (row,) = receive(acme, "STOP", sender=HANDSET[1:])
    assert (row.sender, str(row.in_reply_to)) == (HANDSET, sent)
    assert is_out(acme)


def test_it_forgets_what_it_answers_after_a_week(acme, monkeypatch):
    acme.post("/v1/messages", message())
    monkeypatch.setattr(inbound, "ANSWERS_WITHIN", timedelta(seconds=-1))
    assert receive(acme)[0].in_reply_to is None


def test_it_knows_an_answer_to_what_was_scheduled_long_before(acme):
    now = datetime.now(tz=UTC)
    for asked, sent in ((30, 1), (20, None)):
        at = now - timedelta(days=asked)
        Message.objects.create(
            id=ids.floor(at),
            tenant_id=acme.tenant.pk,
            recipient=HANDSET,
            parts=1,
            status="delivered",
            created_at=at,
            send_at=sent and now - timedelta(days=sent),
        )
    assert receive(acme)[0].in_reply_to == ids.floor(now - timedelta(days=30))


def test_it_opts_out_and_in_again(acme, other):
    (stopped,) = receive(acme, " Stop. ")
    assert (stopped.keyword, stopped.action) == ("STOP", "optOut")
    row = OptOut.objects.for_tenant(acme.tenant.pk).get()
    assert (row.phone, row.sender, row.source, row.text) == (HANDSET, "", "keyword", " Stop. ")
    assert row.inbound_id == stopped.id
    assert acme.post("/v1/messages", message()).code == "RECIPIENT_OPTED_OUT"
    assert other.post("/v1/messages", message()).status == 200
    assert acme.post("/v1/messages", message(), x_developer_mode="true").status == 200
    (started,) = receive(acme, "start")
    assert (started.keyword, started.action) == ("START", "optIn")
    assert acme.post("/v1/messages", message()).status == 200
    assert events(acme) == [
        "message.received",
        "contact.opted_out",
        "message.received",
        "contact.opted_in",
    ]
    assert replies(acme) == [consent_words.OPT_OUT_REPLY, consent_words.OPT_IN_REPLY]


def test_it_tells_of_a_change_of_consent_only(acme):
    receive(acme, "YES", "STOP", "QUIT", "end")
    assert events(acme).count("contact.opted_out") == 1
    assert "contact.opted_in" not in events(acme)
    assert replies(acme) == [consent_words.OPT_OUT_REPLY]


def test_it_opts_in_to_the_number_written_to_and_no_other(acme):
    tenant_id = acme.tenant.pk
    for sender in ("ACME", "4242"):
        opt_outs.add(tenant_id=tenant_id, phone=HANDSET, sender=sender, source="api")
    receive(acme, "START", recipient="4242")
    assert [row.sender for row in OptOut.objects.for_tenant(tenant_id)] == ["ACME"]


def test_it_writes_events_that_tell_all(acme):
    sent = acme.post("/v1/messages", message(metadata={"order": "42"}, clientMessageId="o-42")).json["id"]
    (row,) = receive(acme, "stop", channel="rcs")
    received, out = Event.objects.for_tenant(acme.tenant.pk).filter(message_id=row.id).order_by("sequence")
    assert received.data == {
        "channel": "rcs",
        "from": HANDSET,
        "to": "ACME",
        "text": "stop",
        "keyword": "STOP",
        "action": "optOut",
        "inReplyTo": sent,
        "clientMessageId": "o-42",
        "metadata": {"order": "42"},
        "callbackUrl": None,
    }
    assert (received.sequence, out.sequence) == (1, 2)
    assert (out.data["phone"], out.data["scope"], out.data["reason"]) == (HANDSET, "tenant", "STOP")
    assert (out.data["inboundId"], out.operator, out.occurred_at) == (str(row.id), "one", row.received_at)


def test_it_replies_the_way_it_came(acme):
    receive(acme, "help", channel="whatsapp", recipient="+14155550100")
    reply = Message.objects.for_tenant(acme.tenant.pk).get()
    assert (reply.channel, reply.sender, reply.recipient) == ("whatsapp", "+14155550100", HANDSET)
    assert (reply.text, reply.exempt, reply.encoding) == (consent_words.HELP_REPLY, True, None)


def test_it_replies_in_the_tenants_words(acme):
    acme.post("/v1/keywords", {"keyword": "hours", "action": "reply", "replyText": "Nine to five, ça va?"})
    (row,) = receive(acme, "Hours?")
    assert (row.keyword, row.action) == ("HOURS", "reply")
    reply = Message.objects.for_tenant(acme.tenant.pk).get()
    assert (reply.text, reply.encoding, reply.parts) == ("Nine to five, ça va?", "UCS-2", 1)


def test_it_replies_to_who_opted_out_only_about_consent(acme):
    acme.post("/v1/keywords", {"keyword": "join", "action": "reply", "replyText": "Welcome!"})
    receive(acme, "STOP")
    rows = receive(acme, "JOIN", "HELP")
    assert [row.action for row in rows] == ["reply", "help"]
    assert replies(acme) == [consent_words.OPT_OUT_REPLY, consent_words.HELP_REPLY]
    assert not Message.objects.for_tenant(acme.tenant.pk).filter(text="Welcome!").exists()


def test_it_does_not_talk_for_ever_with_a_machine(acme, monkeypatch):
    receive(acme, "HELP", "INFO")
    receive(acme, "HELP")
    receive(acme, "HELP", sender="+14155550102")
    assert len(replies(acme)) == 2
    monkeypatch.setattr(inbound, "REPLIES_EVERY", timedelta(seconds=-1))
    receive(acme, "HELP")
    assert len(replies(acme)) == 3


@pytest.mark.parametrize("sender", ["4242", "Bank", "", "+", "+4242"])
def test_it_has_nobody_opted_out_who_has_no_number(acme, sender):
    (row,) = receive(acme, "STOP", sender=sender)
    assert (row.sender, row.action) == (sender, "optOut")
    assert not OptOut.objects.exists()
    assert events(acme) == ["message.received"]
    assert replies(acme) == []


def test_it_replies_to_nobody_it_cannot_reach(acme):
    receive(acme, "HELP", sender="ACME")
    receive(acme, "HELP", sender="Bank")
    assert replies(acme) == []


def test_it_keeps_what_it_cannot_reply_to(acme, monkeypatch):
    from gateway.hooks import hooks

    monkeypatch.setattr(hooks, "route", lambda requests, fresh=True: [-1] * len(requests))
    receive(acme, "STOP")
    assert is_out(acme)
    assert replies(acme) == []


def test_it_does_all_of_it_or_nothing(acme, monkeypatch):
    from gateway.hooks import hooks

    def fail(_facts):
        raise RuntimeError

    monkeypatch.setattr(hooks, "fan_out", [fail])
    with pytest.raises(RuntimeError):
        receive(acme, "STOP")
    assert not is_out(acme)
    assert not InboundMessage.objects.exists()
    assert not Event.objects.exists()


def test_it_takes_whatever_a_handset_writes(acme):
    texts = ["", " ", "\0", "é" * 5000, "💬", "a\r\nb", "\\N", '{"a": 1}', "\u202estop"]
    rows = receive(acme, *texts)
    assert [acme.get(f"{PATH}/{row.id}").json["text"] for row in rows] == [
        text.replace("\0", "\ufffd") for text in texts
    ]


def test_it_does_nothing_for_nothing(acme):
    assert inbound.receive(tenant_id=acme.tenant.pk, arrivals=[]) == []


@pytest.mark.django_db(transaction=True)
def test_it_opts_out_once_when_two_arrive_at_the_same_moment(acme, together):
    together(lambda _number: receive(acme, "STOP"), 4)
    assert OptOut.objects.for_tenant(acme.tenant.pk).count() == 1
    assert events(acme).count("contact.opted_out") == 1
    assert InboundMessage.objects.for_tenant(acme.tenant.pk).count() == 4
