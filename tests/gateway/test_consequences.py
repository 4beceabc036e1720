"""What follows from an opt-out: what waits is refused, and webhooks are told, whoever made it."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway import inbound, lifecycle, opt_outs
from gateway.hooks import hooks
from gateway.lifecycle import Move
from gateway.models import DueMessage, Event, Message, OptOut
from gateway.statuses import Status
from tests.factories import Caller, message
from tests.gateway.test_inbound import HANDSET, arrival, receive

pytestmark = pytest.mark.django_db

PATH = "/v1/opt-outs"


def send(caller: Caller, **members) -> str:
    return caller.post("/v1/messages", message(**members)).json["id"]


def later() -> str:
    return (datetime.now(tz=UTC) + timedelta(days=20)).isoformat()


def statuses(caller: Caller) -> dict[str, tuple[str, str | None]]:
    rows = Message.objects.for_tenant(caller.tenant.pk).filter(exempt=False)
    return {str(row.id): (row.status, row.error_code) for row in rows}


def consents(caller: Caller) -> list[Event]:
    rows = Event.objects.for_tenant(caller.tenant.pk).filter(type__startswith="contact.")
    return list(rows.order_by("id"))


REFUSED = ("rejected", "RECIPIENT_OPTED_OUT")


def test_it_refuses_what_waits_for_who_opted_out(acme, other):
    now, scheduled = send(acme), send(acme, sendAt=later())
    elsewhere = send(acme, to="+14155550102")
    gone = send(acme)
    DueMessage.objects.filter(message_id=gone).delete()
    theirs = send(other)
    receive(acme, "STOP")
    assert statuses(acme) == {
        now: REFUSED,
        scheduled: REFUSED,
        elsewhere: ("accepted", None),
        # With a relay: it asks again.
        gone: ("accepted", None),
    }
    assert statuses(other) == {theirs: ("accepted", None)}
    waiting = set(map(str, DueMessage.objects.values_list("message_id", flat=True)))
    assert not waiting & {now, scheduled}
    assert elsewhere in waiting
    timeline = acme.get(f"/v1/messages/{now}/events").json["data"]
    assert [line["type"] for line in timeline] == ["message.accepted", "message.rejected"]


def test_it_refuses_what_waits_again_after_a_try(acme):
    key = send(acme)
    at = datetime.now(tz=UTC)
    lifecycle.move(moves=[Move(Message.objects.get().id, Status.SENDING, at)])
    lifecycle.move(moves=[Move(Message.objects.get().id, Status.QUEUED, at)])
    receive(acme, "STOP")
    assert statuses(acme) == {key: REFUSED}


def test_it_sends_the_reply_to_who_opted_out(acme):
    receive(acme, "STOP")
    (reply,) = Message.objects.for_tenant(acme.tenant.pk).filter(exempt=True)
    acme.post(PATH, {"phone": HANDSET, "scope": "sender", "sender": "ACME"})
    reply.refresh_from_db()
    assert reply.status == "accepted"
    assert DueMessage.objects.filter(message_id=reply.id).exists()


@pytest.mark.parametrize("sender", ["acme", "ACME"])
def test_it_refuses_only_what_comes_from_the_sender(acme, sender):
    first, second = send(acme, **{"from": "Acme"}), send(acme, **{"from": "OTHER"})
    bare = send(acme)
    assert acme.post(PATH, {"phone": HANDSET, "scope": "sender", "sender": sender}).status == 201
    assert statuses(acme) == {first: REFUSED, second: ("accepted", None), bare: ("accepted", None)}


def test_it_refuses_what_waits_for_the_imported(acme):
    keys = [send(acme, to=f"+1415555010{number}") for number in range(4)]
    rows = [{"phone": f"+1415555010{number}"} for number in range(3)]
    assert acme.post(f"{PATH}/import", {"optOuts": rows}).json["created"] == 3
    assert [statuses(acme)[key] for key in keys] == [REFUSED] * 3 + [("accepted", None)]
    assert acme.post(f"{PATH}/import", {"optOuts": rows}).json["unchanged"] == 3
    assert len(consents(acme)) == 3


def test_it_tells_what_was_made_and_taken_away_by_hand(acme, other):
    made = acme.post(PATH, {"phone": HANDSET, "scope": "sender", "sender": "ACME", "reason": "By phone"}).json
    acme.post(PATH, {"phone": HANDSET, "scope": "sender", "sender": "acme"})
    assert acme.send("DELETE", f"{PATH}/{made['id']}").status == 204
    assert acme.send("DELETE", f"{PATH}/{made['id']}").status == 404
    out, back = consents(acme)
    assert (out.type, back.type) == ("contact.opted_out", "contact.opted_in")
    assert (str(out.message_id), out.sequence, back.message_id, back.sequence) == (
        made["id"],
        1,
        out.message_id,
        2,
    )
    expected = {
        "phone": HANDSET,
        "scope": "sender",
        "sender": "ACME",
        "reason": "By phone",
        "text": None,
        "inboundId": None,
        "channel": "sms",
    }
    assert out.data == back.data == expected
    assert not consents(other)


def test_it_tells_of_each_that_is_taken_away(acme):
    for sender in ("", "ACME"):
        opt_outs.add(tenant_id=acme.tenant.pk, phone=HANDSET, sender=sender, source="admin")
    assert acme.send("DELETE", f"{PATH}?phone=%2B14155550101").status == 204
    assert [event.type for event in consents(acme)] == ["contact.opted_out"] * 2 + ["contact.opted_in"] * 2
    assert {event.data["scope"] for event in consents(acme)} == {"tenant", "sender"}


def test_it_leaves_no_opt_out_whose_news_fails(acme, monkeypatch):
    def fail(_facts):
        raise RuntimeError

    monkeypatch.setattr(hooks, "fan_out", [fail])
    with pytest.raises(RuntimeError):
        opt_outs.add(tenant_id=acme.tenant.pk, phone=HANDSET, sender="", source="api")
    assert not OptOut.objects.exists()


def test_it_does_many_consents_at_once_in_their_order(acme, django_assert_max_num_queries):
    phones = [f"+141555501{number:02}" for number in range(40)]
    arrivals = [arrival("stop", sender=phone) for phone in phones]
    arrivals += [arrival("start", sender=phone) for phone in phones[:20]]
    arrivals += [arrival("arrêt", sender=phone) for phone in phones[:10]]
    with django_assert_max_num_queries(60):
        inbound.receive(tenant_id=acme.tenant.pk, arrivals=arrivals)
    out = set(OptOut.objects.for_tenant(acme.tenant.pk).values_list("phone", flat=True))
    assert out == {*phones[:10], *phones[20:]}
    row = OptOut.objects.for_tenant(acme.tenant.pk).get(phone=phones[0])
    assert (row.text, row.reason, row.source) == ("arrêt", "ARRET", "keyword")
    assert len([event for event in consents(acme) if event.type == "contact.opted_out"]) == 50
    assert Message.objects.for_tenant(acme.tenant.pk).filter(text__startswith="Votre").count() == 10


def test_it_replies_nothing_to_what_came_long_ago(acme):
    receive(acme, "STOP", received_at=datetime.now(tz=UTC) - timedelta(hours=2))
    assert OptOut.objects.exists()
    assert not Message.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_refuses_what_a_relay_does_not_have_in_its_hands(acme, together):
    for _ in range(20):
        send(acme)

    def at_once(number: int) -> None:
        if number:
            acme.post(PATH, {"phone": HANDSET})
        else:
            for row in DueMessage.objects.all()[:10]:
                acme.post(f"/v1/messages/{row.message_id}/cancel")

    together(at_once, 3)
    assert {status for status, _code in statuses(acme).values()} <= {"rejected", "canceled"}
    assert not DueMessage.objects.exists()
