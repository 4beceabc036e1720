"""WhatsApp: what Meta is sent, what its answers mean, and what it posts to us."""

import json
from datetime import UTC, datetime

import pytest
from django.test import Client

from gateway import lifecycle
from gateway.lifecycle import Move
from gateway.models import Event, InboundMessage
from gateway.statuses import Status
from routing import intake, provisioning, receipts
from routing.contract import OperatorSettings, Outcome, Verdict
from routing.errors import OperatorSettingsError
from routing.provisioning import OperatorWish
from routing.transports.http_answers import Meaning
from routing.transports.http_client import Answer
from routing.transports.http_engine import UnsendableError
from routing.transports.whatsapp import WhatsAppTransport
from tests.fakes.whatsapp import NUMBER, NUMBER_ID, Meta, post, signature
from tests.routing.conftest import status_of, timeline_of
from tests.routing.http_world import Changes, outbound, submit, wait

SECRETS = {"token": Meta.TOKEN, "app_secret": Meta.APP_SECRET, "verify_token": Meta.VERIFY_TOKEN}


def made(**settings):
    given = {"phone_number_id": NUMBER_ID} | settings
    return WhatsAppTransport(OperatorSettings(1, "wa", "whatsapp", None, given, secrets=SECRETS))


def body_of(message, **settings):
    asked = made(**settings).request(message)
    assert asked.url == f"https://graph.facebook.com/v23.0/{NUMBER_ID}/messages"
    assert asked.headers["Authorization"] == f"Bearer {Meta.TOKEN}"
    body = json.loads(asked.body)
    head = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": "14155550101"}
    assert {name: body.pop(name) for name in head} == head
    return body


def test_it_sends_a_text():
    assert body_of(outbound("Olá")) == {"type": "text", "text": {"preview_url": False, "body": "Olá"}}


def test_it_sends_a_template_with_its_variables_in_order():
    variables = {"10": "j", "2": "b", "1": 5}
    content = {"template": {"name": "order", "language": "pt-BR", "variables": variables}}
    assert body_of(outbound("shown", content=content)) == {
        "type": "template",
        "template": {
            "name": "order",
            "language": {"code": "pt_BR"},
            "components": [
                {"type": "body", "parameters": [{"type": "text", "text": each} for each in ("5", "b", "j")]}
            ],
        },
    }


def test_it_sends_a_template_with_named_variables_and_what_it_has_beside_its_body():
    components = {
        "ticket": [
            {"type": "header", "parameters": [{"type": "image", "image": {"link": "{{metadata.picture}}"}}]},
            {
                "type": "button",
                "sub_type": "url",
                "index": "0",
                "parameters": [{"type": "text", "text": "{{messageId}}"}],
            },
        ]
    }
    message = outbound(
        "shown",
        content={"template": {"name": "ticket", "variables": {"name": "Ada"}}},
        metadata={"picture": "https://x.example/a.png"},
    )
    made_of = body_of(message, template_components=components, language="fr")["template"]
    assert made_of["language"] == {"code": "fr"}
    header, button, body = made_of["components"]
    assert header["parameters"][0]["image"] == {"link": "https://x.example/a.png"}
    assert button["parameters"][0]["text"] == str(message.message_id)
    assert body["parameters"] == [{"type": "text", "parameter_name": "name", "text": "Ada"}]


def test_a_template_without_variables_has_no_components():
    content = {"template": {"name": "hello", "language": None}}
    assert body_of(outbound("Hi", content=content))["template"] == {
        "name": "hello",
        "language": {"code": "en"},
    }


@pytest.mark.parametrize(
    ("media", "shown"),
    [
        ({"type": "image", "caption": "c"}, {"link": "https://x.example/a", "caption": "c"}),
        ({"type": "audio", "caption": "c"}, {"link": "https://x.example/a"}),
        ({"type": "document", "caption": None}, {"link": "https://x.example/a"}),
    ],
)
def test_it_sends_media(media, shown):
    content = {"media": {"url": "https://x.example/a"} | media}
    assert body_of(outbound(None, content=content)) == {"type": media["type"], media["type"]: shown}


def test_it_sends_nothing_that_has_nothing_in_it():
    with pytest.raises(UnsendableError):
        made().request(outbound(None))


@pytest.mark.parametrize(
    ("status", "code", "meaning", "error_code"),
    [
        (401, 190, Meaning.BARRED, None),
        (500, 3, Meaning.BARRED, None),
        (403, 230, Meaning.BARRED, None),
        (429, 130429, Meaning.THROTTLED, None),
        (400, 80007, Meaning.THROTTLED, None),
        (400, 131056, Meaning.TEMPORARY, None),
        (400, 131026, Meaning.PERMANENT, "INVALID_RECIPIENT"),
        (400, 132001, Meaning.PERMANENT, None),
        (500, 131000, Meaning.UNKNOWN, None),
    ],
)
def test_it_reads_refusals(status, code, meaning, error_code):
    reading = made().read(Answer(status, json.dumps({"error": {"code": code}}).encode()))
    assert (reading.meaning, reading.code, reading.error_code) == (meaning, str(code), error_code)


def test_an_operator_may_class_a_code_otherwise():
    answer = Answer(400, b'{"error": {"code": 131056}}')
    assert made(errors={"131056": "throttled"}).read(answer).meaning is Meaning.THROTTLED


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"messages": []}', b'{"messages": [{"id": ""}]}'])
def test_a_success_without_an_id_is_none_that_is_known(body):
    assert made().read(Answer(200, body)).meaning is Meaning.UNKNOWN


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"phone_number_id": None}, "phone_number_id"),
        ({"phone_number_id": "+1555"}, "phone_number_id"),
        ({"url": "graph.facebook.com"}, "url"),
        ({"language": "english please"}, "language"),
        ({"template_components": []}, "template_components"),
        ({"template_components": {"a": [{"t": "{{x}}"}]}}, "template_components.a[0].t"),
        ({"errors": {"1": "bad"}}, "errors['1']"),
        ({"preview_url": "yes"}, "preview_url"),
        ({"intake_auth": "path"}, "'intake_auth'"),
    ],
)
def test_it_refuses_nonsense_and_names_it(settings, named):
    with pytest.raises(OperatorSettingsError, match=r"^wa: ") as found:
        made(**settings)
    assert named in str(found.value)


def test_it_speaks_with_meta():
    with Meta() as fake:
        fake.errors = {"14155550102": (400, 131026)}
        operator = OperatorSettings(1, "wa", "whatsapp", None, fake.account(), secrets=SECRETS)
        transport = WhatsAppTransport(operator)
        transport.start(sink=Changes())
        try:
            wait(lambda: transport.state().up)
            good, bad = outbound(), outbound(recipient="+14155550102")
            outcomes = {outcome.delivery_id: outcome for outcome in submit(transport, [good, bad])}
        finally:
            transport.stop(deadline=2)
    assert outcomes[good.delivery_id].verdict is Verdict.ACCEPTED
    assert outcomes[good.delivery_id].remote_ids[0].startswith("wamid.")
    assert outcomes[bad.delivery_id].verdict is Verdict.REFUSED
    assert outcomes[bad.delivery_id].error_code == "INVALID_RECIPIENT"


@pytest.fixture
def add(db):
    intake._directory.__init__()

    def make(slug="wa", number_id=NUMBER_ID, **secrets):
        wish = OperatorWish(
            slug=slug,
            transport="whatsapp",
            channel="whatsapp",
            settings={"phone_number_id": number_id},
            secrets=SECRETS | secrets,
        )
        return provisioning.add_operator(wish=wish)

    return make


@pytest.fixture
def sent(waiting):
    """A message that an operator has, by the id that Meta gave it."""

    def send(operator, remote_id):
        (key,) = waiting(operator, channel="whatsapp")
        now = datetime.now(tz=UTC)
        for status in (Status.QUEUED, Status.SENDING, Status.SENT):
            lifecycle.move(moves=[Move(key, status, now)])
        receipts.expect(
            operator_id=operator.pk, outcomes=[Outcome(key, key, Verdict.ACCEPTED, now, (remote_id,))]
        )
        return key

    return send


def tell(body, slug="wa", **headers):
    given = {"X-Hub-Signature-256": signature(body)} | headers
    answer = Client().post(f"/intake/{slug}/events", body, content_type="application/json", headers=given)
    return answer.status_code, answer.json()


def state(remote_id, status, **more):
    return {
        "id": remote_id,
        "status": status,
        "timestamp": "1767323045",
        "recipient_id": "14155550101",
    } | more


def test_statuses_move_their_messages(add, sent):
    operator = add()
    read, failed = sent(operator, "wamid.1"), sent(operator, "wamid.2")
    statuses = [state("wamid.1", each) for each in ("sent", "delivered", "read")]
    statuses.append(state("wamid.2", "failed", errors=[{"code": 131047, "title": "Re-engagement message"}]))
    status, answer = tell(post(statuses=statuses))
    assert (status, answer["accepted"]) == (200, 4)
    assert (status_of(read), status_of(failed)) == ("read", "failed")
    assert timeline_of(read)[-3:] == ["receipt.interim", "message.delivered", "message.read"]
    event = Event.objects.get(message_id=failed, type="message.failed")
    assert event.operator_code == "failed:131047"
    assert event.data["doneAt"] == "2026-01-02T03:04:05+00:00"


def test_messages_of_handsets_are_kept_once(add):
    add()
    base = {"from": "14155550101", "timestamp": "1767323045"}
    messages = [
        base | {"id": "wamid.a", "type": "text", "text": {"body": " Hi "}},
        base | {"id": "wamid.b", "type": "button", "button": {"text": "Stop", "payload": "x"}},
        base | {"id": "wamid.c", "type": "interactive", "interactive": {"list_reply": {"title": "Two"}}},
        base | {"id": "wamid.d", "type": "image", "image": {"id": "9", "caption": "Look"}},
        base | {"id": "wamid.e", "type": "location", "location": {"latitude": 1.5}},
    ]
    for _ in range(2):
        assert tell(post(messages=messages))[0] == 200
    rows = InboundMessage.objects.order_by("id")
    assert [row.text for row in rows] == [" Hi ", "Stop", "Two", "Look", ""]
    assert {(row.operator, row.channel, row.sender, row.recipient) for row in rows} == {
        ("wa", "whatsapp", "+14155550101", f"+{NUMBER}")
    }
    assert rows[4].raw["location"] == {"latitude": 1.5}


def test_what_is_for_another_number_of_the_app_is_that_operators(add, sent):
    add()
    other = add("wa2", "999")
    key = sent(other, "wamid.1")
    assert tell(post(statuses=[state("wamid.1", "delivered")], number_id="999"))[0] == 200
    assert status_of(key) == "delivered"


def test_what_is_for_a_number_of_another_app_is_nobodys(add, sent):
    add()
    other = add("wa2", "999", app_secret="another-secret")
    key = sent(other, "wamid.1")
    assert tell(post(statuses=[state("wamid.1", "delivered")], number_id="999"))[0] == 200
    assert status_of(key) == "sent"


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"entry": 5}', b'{"entry": [{"changes": [{"value": 1}]}]}'])
def test_what_has_nothing_for_us_is_taken_and_forgotten(add, body):
    add()
    assert tell(body)[0] == 200


def test_a_status_without_an_id_is_refused(add):
    add()
    status, answer = tell(post(statuses=[{"status": "sent"}]))
    assert (status, answer["details"][0]["field"]) == (400, "statuses.id")
    assert tell(post(statuses=["x"], messages=[5]))[0] == 400


def test_nobody_else_may_post(add):
    add()
    add("open", "5", app_secret="")
    body = post(statuses=[state("wamid.1", "delivered")])
    assert tell(body, **{"X-Hub-Signature-256": signature(body, "guess")})[0] == 401
    assert tell(body, **{"X-Hub-Signature-256": ""})[0] == 401
    assert tell(body, "open", **{"X-Hub-Signature-256": signature(body, "")})[0] == 401
    assert tell(body, "nobody")[0] == 401


def test_it_shows_meta_that_the_url_is_ours(add):
    add()
    add("open", "5", verify_token="")

    def ask(slug="wa", **query):
        asked = {
            "hub.mode": "subscribe",
            "hub.verify_token": Meta.VERIFY_TOKEN,
            "hub.challenge": "1158201444",
        }
        return Client().get(f"/intake/{slug}/events", asked | query)

    answer = ask()
    assert (answer.status_code, answer.content) == (200, b"1158201444")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert ask(**{"hub.verify_token": "guess"}).status_code == 401
    assert ask(**{"hub.mode": "unsubscribe"}).status_code == 401
    assert ask("open", **{"hub.verify_token": ""}).status_code == 401
    assert ask("nobody").status_code == 401


def test_each_kind_of_operator_posts_where_it_belongs(add):
    add()
    body = post()
    answer = Client().post(
        "/intake/wa/receipts",
        body,
        content_type="application/json",
        headers={"X-Hub-Signature-256": signature(body)},
    )
    assert answer.status_code == 404
