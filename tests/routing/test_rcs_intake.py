"""What Google posts to us: events move messages, handsets' messages are kept once, and nobody else may post."""

import base64
import io
import json
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from gateway import lifecycle, numbers_owned
from gateway.lifecycle import Move
from gateway.models import Event, InboundMessage
from gateway.statuses import Status
from routing import intake, operators, provisioning, receipts
from routing.contract import Outcome, Verdict
from routing.models import Operator
from routing.provisioning import OperatorWish
from tests.fakes.rcs import AGENT, CLIENT_TOKEN, event, key_file, message, post, signature
from tests.routing.conftest import status_of, timeline_of

PUSH_TOKEN = "a-token-of-pubsub"
OTHER = "other_x@rbm.goog"


@pytest.fixture
def add(db):
    intake._directory.__init__()

    def make(slug="rcs", agent=AGENT, *, settings=None, **secrets):
        given = {"token": "t", "client_token": CLIENT_TOKEN, "intake_token": PUSH_TOKEN} | secrets
        wish = OperatorWish(
            slug=slug,
            transport="rcs",
            channel="rcs",
            settings={"agent_id": agent} | (settings or {}),
            secrets=given,
        )
        return provisioning.add_operator(wish=wish)

    return make


@pytest.fixture
def sent(waiting):
    """A message that an operator has, by the id that it was given."""

    def send(operator, remote_id):
        (key,) = waiting(operator, channel="rcs")
        now = datetime.now(tz=UTC)
        for status in (Status.QUEUED, Status.SENDING, Status.SENT):
            lifecycle.move(moves=[Move(key, status, now)])
        receipts.expect(
            operator_id=operator.pk, outcomes=[Outcome(key, key, Verdict.ACCEPTED, now, (remote_id,))]
        )
        return key

    return send


def tell(item, slug="rcs", *, path="", **headers):
    body = item if isinstance(item, bytes) else post(item)
    if not headers and not path:
        headers = {"X-Goog-Signature": signature(body)}
    url = f"/intake/{slug}/events{path}"
    answer = Client().post(url, body, content_type="application/json", headers=headers)
    return answer.status_code, answer.json()


def test_events_move_their_messages(add, sent):
    operator = add()
    read, late = sent(operator, "m-1"), sent(operator, "m-2")
    assert tell(event("DELIVERED", "m-1"))[0] == 200
    assert status_of(read) == "delivered"
    assert tell(event("READ", "m-1"))[1]["accepted"] == 1
    tell(event("TTL_EXPIRATION_REVOKE_FAILED", "m-2"))
    assert status_of(late) == "sent"
    tell(event("TTL_EXPIRATION_REVOKED", "m-2", phoneNumber="+14155550101"))
    assert (status_of(read), status_of(late)) == ("read", "expired")
    assert timeline_of(late)[-2:] == ["receipt.interim", "message.expired"]
    line = Event.objects.get(message_id=read, type="message.delivered")
    assert line.operator_code == "DELIVERED"
    assert line.data["doneAt"] == "2026-01-02T03:04:05.045123+00:00"


def test_an_event_that_comes_again_is_a_line_and_no_step(add, sent):
    key = sent(add(), "m-1")
    for _ in range(2):
        tell(event("DELIVERED", "m-1"))
    assert status_of(key) == "delivered"
    assert timeline_of(key)[-2:] == ["message.delivered", "receipt.repeated"]


def test_a_kind_of_event_that_nobody_knows_is_kept(add, sent):
    key = sent(add(), "m-1")
    assert tell(event("SOMETHING_NEW", "m-1"))[0] == 200
    assert timeline_of(key)[-1] == "receipt.interim"


def test_messages_of_handsets_are_kept_once(add):
    add()
    items = [
        message("a", text=" Hi "),
        message("b", suggestionResponse={"text": "Yes", "postbackData": "yes-1", "type": "REPLY"}),
        message("c", location={"latitude": 1.5, "longitude": 2.5}),
        message("d", userFile={"category": "IMAGE", "payload": {"fileUri": "https://x.example/f"}}),
        message("a", text="of another handset", senderPhoneNumber="+14155550199"),
    ]
    for _ in range(2):
        assert [tell(item)[0] for item in items] == [200] * 5
    rows = InboundMessage.objects.order_by("id")
    assert [row.text for row in rows] == [" Hi ", "Yes", "", "", "of another handset"]
    assert {(row.operator, row.channel, row.recipient) for row in rows} == {
        ("rcs", "rcs", "acme_ab12cd34_agent")
    }
    assert rows[1].raw["suggestionResponse"]["postbackData"] == "yes-1"
    assert rows[3].raw["userFile"]["payload"]["fileUri"] == "https://x.example/f"


def test_what_comes_to_an_agent_is_its_tenants(add, tenants):
    add()
    numbers_owned.give(number="acme_ab12cd34_agent", tenant=tenants[1], channel="rcs")
    tell(message("a", text="Hi"))
    assert InboundMessage.objects.get().tenant_id == tenants[1].pk


def test_handsets_write_to_the_address_that_was_set(add):
    add(settings={"address": "ACME"})
    tell(message("a", text="Hi"))
    assert InboundMessage.objects.get().recipient == "ACME"


@pytest.mark.parametrize("kind", ["IS_TYPING", "SUBSCRIBE", "UNSUBSCRIBE"])
def test_what_is_about_no_message_is_taken_and_forgotten(add, kind):
    add()
    assert tell(event(kind, ""))[0] == 200
    assert not InboundMessage.objects.exists()


@pytest.mark.parametrize(
    "item", [b"", b"[]", b"5", b"{}", b"\xff\xfe", b'{"requestId": "1", "rbmEnabled": true}', b"[" * 5000]
)
def test_what_has_nothing_for_us_is_taken_and_forgotten(add, item):
    add()
    assert tell(post(item))[0] == 200


@pytest.mark.parametrize(
    "item",
    [
        event("DELIVERED", ""),
        event("DELIVERED", 5),
        message("a", text="Hi", senderPhoneNumber=None),
    ],
)
def test_what_lacks_an_id_or_sender_is_left_out_and_holds_up_nothing(add, item):
    add()
    status, answer = tell(item)
    assert (status, answer["accepted"]) == (200, 0)
    assert not InboundMessage.objects.exists()


def test_no_character_is_too_odd_to_keep(add):
    add()
    assert tell(message("a\0b", text="nul \0 here"))[0] == 200
    assert tell(message("c", text="cut \ud83d"))[0] == 200
    texts = InboundMessage.objects.order_by("id").values_list("text", flat=True)
    assert list(texts) == ["nul \ufffd here", "cut \ufffd"]


def test_what_is_for_another_agent_of_the_partner_is_that_operators(add, sent):
    add()
    key = sent(add("rcs2", OTHER), "m-1")
    assert tell(event("DELIVERED", "m-1", agentId=OTHER))[0] == 200
    assert status_of(key) == "delivered"
    other = sent(Operator.objects.get(slug="rcs2"), "m-2")
    tell(event("DELIVERED", "m-2", agentId="Other_X"))
    assert status_of(other) == "delivered"


def test_what_is_for_an_agent_of_another_partner_is_nobodys(add, sent):
    add()
    key = sent(add("rcs2", OTHER, client_token="another-partner"), "m-1")
    assert tell(event("DELIVERED", "m-1", agentId=OTHER))[0] == 200
    assert status_of(key) == "sent"


def test_what_names_no_agent_is_for_the_one_that_was_posted_to(add, sent):
    key = sent(add(), "m-1")
    tell(event("DELIVERED", "m-1", agentId=None))
    assert status_of(key) == "delivered"


def test_pubsub_may_push_with_its_token(add, sent):
    key = sent(add(client_token=""), "m-1")
    assert tell(event("DELIVERED", "m-1"), path="?token=guess")[0] == 401
    assert tell(event("DELIVERED", "m-1"), path=f"?token={PUSH_TOKEN}")[0] == 200
    assert status_of(key) == "delivered"


def test_nobody_else_may_post(add):
    add()
    add("open", OTHER, client_token="", intake_token="")
    body = post(event("DELIVERED", "m-1"))
    assert tell(body, **{"X-Goog-Signature": signature(body, "guess")})[0] == 401
    assert tell(body, **{"X-Goog-Signature": ""})[0] == 401
    assert tell(body, **{"X-Goog-Signature": "é"})[0] == 401
    assert tell(body, "open", **{"X-Goog-Signature": signature(body, "")})[0] == 401
    assert tell(body, "open", path="?token=")[0] == 401
    assert tell(body, "nobody")[0] == 401
    # A signature of another body.
    assert tell(post(event("READ", "m-1")), **{"X-Goog-Signature": signature(body)})[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"message": 5}',
        b'{"message": {"data": 5}}',
        b'{"message": {"data": "!"}}',
        b"[" * 5000,
    ],
)
def test_a_post_that_is_none_is_refused(add, body):
    add()
    status, _answer = tell(body, **{"X-Goog-Signature": "x"})
    assert status == 401


def test_it_shows_google_that_the_url_is_ours(add):
    add()
    add("open", OTHER, client_token="")

    def ask(slug="rcs", **told):
        body = {"clientToken": CLIENT_TOKEN, "secret": "1234567890"} | told
        return Client().post(f"/intake/{slug}/events", json.dumps(body), content_type="application/json")

    answer = ask()
    assert (answer.status_code, answer.content) == (200, b"1234567890")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert ask(clientToken="guess").status_code == 401
    assert ask(clientToken=None).status_code == 401
    assert ask("open", clientToken="").status_code == 401
    assert Client().get("/intake/rcs/events", {"hub.mode": "subscribe"}).status_code == 401


@pytest.mark.parametrize("identity", [{"eventId": "e1"}, {}])
def test_a_handsets_message_is_kept_without_a_message_id(add, identity):
    add()
    item = {"senderPhoneNumber": "+14155550101", "text": "Hi", "agentId": AGENT} | identity
    for _again in range(2):
        data = base64.b64encode(json.dumps(item).encode()).decode()
        answer = Client().post(
            f"/intake/rcs/events?token={PUSH_TOKEN}",
            json.dumps({"message": {"data": data}}),
            content_type="application/json",
        )
        assert answer.status_code == 200
    assert InboundMessage.objects.count() == (1 if identity else 2)


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_query_of_too_many_fields_is_refused_in_json(add, method):
    add()
    query = "&".join(f"a{number}=1" for number in range(1200))
    answer = getattr(Client(), method)(f"/intake/rcs/events?{query}")
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "MALFORMED_BODY")


def command(*arguments):
    out = io.StringIO()
    call_command("add_operator", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.django_db
def test_an_operator_is_added_with_its_key_file(tmp_path):
    path = tmp_path / "key.json"
    path.write_text(key_file())
    wanted = ["rcs", "--transport", "rcs", "--rate", "10", "--set", f"agent_id={AGENT}"]
    shown = command(*wanted, "--secret-file", f"service_account={path}", "--secret", "client_token=abc")
    assert (shown["events"], shown["channel"]) == ("/intake/rcs/events", "rcs")
    secrets = operators.settings_of(Operator.objects.get(slug="rcs")).secrets
    assert json.loads(secrets["service_account"])["private_key_id"] == "k1"


@pytest.mark.django_db
def test_it_says_what_is_wrong_with_a_key_file(tmp_path):
    wanted = ["rcs", "--transport", "rcs", "--channel", "rcs", "--set", f"agent_id={AGENT}"]
    with pytest.raises(CommandError, match=r"nowhere\.json cannot be read"):
        command(*wanted, "--secret-file", f"service_account={tmp_path}/nowhere.json")
    path = tmp_path / "key.json"
    path.write_text(key_file(private_key="x"))
    with pytest.raises(CommandError, match="private_key is not a PEM key"):
        command(*wanted, "--secret-file", f"service_account={path}")
    with pytest.raises(CommandError, match="KEY=VALUE"):
        command(*wanted, "--secret-file", str(path))
