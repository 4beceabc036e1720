"""WhatsApp: what Meta is sent, what its answers mean, and what it posts to us."""

import json
from datetime import UTC, datetime

import pytest
from django.test import Client

from gateway import content, lifecycle
from gateway.errors import Invalid
from gateway.lifecycle import Move
from gateway.models import Event, InboundMessage, Template
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
    header, body, button = made_of["components"]
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


def test_it_sends_media_that_was_uploaded_and_a_documents_name():
    media = {"id": "1037543291543636", "type": "document", "caption": "c", "filename": "bill.pdf"}
    assert body_of(outbound(None, content={"media": media}))["document"] == {
        "id": "1037543291543636",
        "caption": "c",
        "filename": "bill.pdf",
    }
    sticker = {"id": "9", "type": "sticker", "caption": "c", "filename": "x"}
    assert body_of(outbound(None, content={"media": sticker}))["sticker"] == {"id": "9"}


def components_of(variables, **settings):
    content = {"template": {"name": "t", "variables": variables}}
    return body_of(outbound("shown", content=content), **settings)["template"].get("components", [])


@pytest.mark.parametrize(
    ("variables", "parameters"),
    [
        ({"header.1": "Ada"}, [{"type": "text", "text": "Ada"}]),
        ({"header.who": "Ada"}, [{"type": "text", "parameter_name": "who", "text": "Ada"}]),
        (
            {"header.image": "https://x.example/a"},
            [{"type": "image", "image": {"link": "https://x.example/a"}}],
        ),
        ({"header.video": 1037543291543636}, [{"type": "video", "video": {"id": "1037543291543636"}}]),
        (
            {"header.document": "9", "header.filename": "bill.pdf"},
            [{"type": "document", "document": {"id": "9", "filename": "bill.pdf"}}],
        ),
    ],
)
def test_a_variable_may_be_of_the_templates_header(variables, parameters):
    assert components_of(variables) == [{"type": "header", "parameters": parameters}]


def test_a_name_of_no_file_is_none():
    assert components_of({"header.filename": "bill.pdf"}) == []


def test_a_variable_may_be_of_a_button():
    variables = {"button.2.code": "SAVE10", "1": "Ada", "button.0.url": "a/b", "button.1.payload": "yes"}
    body, *buttons = components_of(variables)
    assert body["parameters"] == [{"type": "text", "text": "Ada"}]
    assert [(b["sub_type"], b["index"], b["parameters"]) for b in buttons] == [
        ("url", "0", [{"type": "text", "text": "a/b"}]),
        ("quick_reply", "1", [{"type": "payload", "payload": "yes"}]),
        ("copy_code", "2", [{"type": "coupon_code", "coupon_code": "SAVE10"}]),
    ]


def test_a_variable_goes_before_what_the_operator_has_for_its_place():
    fixed = [
        {"type": "header", "parameters": [{"type": "text", "text": "fixed"}]},
        {"type": "button", "sub_type": "url", "index": 0, "parameters": [{"type": "text", "text": "0"}]},
        {"type": "button", "sub_type": "url", "index": 1, "parameters": [{"type": "text", "text": "1"}]},
    ]
    made_of = components_of({"header.1": "own", "button.0.url": "own"}, template_components={"t": fixed})
    assert [each["parameters"][0]["text"] for each in made_of] == ["own", "1", "own"]


def test_a_tenants_template_goes_out_with_its_header_and_buttons(tenants):
    Template.objects.create(
        tenant=tenants[0], name="t", language="en", channels=["whatsapp"], body="Hi {{1}}", status="approved"
    )
    variables = {"1": "Ada", "header.image": "https://x.example/a", "button.0.url": "a/b"}

    def resolved(**more):
        asked = {"template": {"name": "t", "language": "en", "variables": variables | more}}
        return content.resolve(tenant_id=tenants[0].pk, channel="whatsapp", content=asked)

    shown = resolved()
    body = body_of(outbound(shown.text, content=shown.content))
    assert [each["type"] for each in body["template"]["components"]] == ["header", "body", "button"]
    with pytest.raises(Invalid) as found:
        resolved(**{"button.0.colour": "red"})
    assert found.value.details[0].field == "template.variables.button.0.colour"


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
        (400, 131026, Meaning.PERMANENT, "RECIPIENT_NOT_REACHABLE"),
        (400, 131021, Meaning.PERMANENT, "INVALID_RECIPIENT"),
        (400, 131047, Meaning.PERMANENT, "TEMPLATE_REQUIRED"),
        (400, 131048, Meaning.TEMPORARY, None),
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
        ({"sync_templates_minutes": -1}, "sync_templates_minutes"),
        ({"sync_templates_minutes": "often"}, "sync_templates_minutes"),
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
    assert outcomes[bad.delivery_id].error_code == "RECIPIENT_NOT_REACHABLE"


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
    read, failed = sent(operator, "wamid.HBgLMTQxNTU1RTcA=="), sent(operator, "wamid.2")
    statuses = [state("wamid.HBgLMTQxNTU1RTcA==", each) for each in ("sent", "delivered", "read")]
    statuses.append(state("wamid.2", "failed", errors=[{"code": 131047, "title": "Re-engagement message"}]))
    status, answer = tell(post(statuses=statuses))
    assert (status, answer["accepted"]) == (200, 4)
    assert (status_of(read), status_of(failed)) == ("read", "failed")
    assert sorted(timeline_of(read)[-3:]) == ["message.delivered", "message.read", "receipt.interim"]
    event = Event.objects.get(message_id=failed, type="message.failed")
    assert (event.operator_code, event.error_code) == ("failed:131047", "TEMPLATE_REQUIRED")
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
        base | {"id": "wamid.f", "type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": "👍"}},
        base | {"id": "wamid.g", "type": "interactive", "interactive": {"button_reply": {"title": "Yes"}}},
        base | {"id": "wamid.h", "type": "unsupported", "errors": [{"code": 131051}]},
    ]
    for _ in range(2):
        assert tell(post(messages=messages))[0] == 200
    rows = InboundMessage.objects.order_by("id")
    assert [row.text for row in rows] == [" Hi ", "Stop", "Two", "Look", "", "👍", "Yes", ""]
    assert {(row.operator, row.channel, row.sender, row.recipient) for row in rows} == {
        ("wa", "whatsapp", "+14155550101", f"+{NUMBER}")
    }
    assert rows[3].raw["image"]["id"] == "9"
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


@pytest.mark.parametrize(
    "value",
    [
        {"metadata": 5, "statuses": [{"id": "a", "status": "sent"}]},
        {"metadata": {"phone_number_id": NUMBER_ID}, "statuses": {"id": "a"}},
        {"metadata": {"phone_number_id": NUMBER_ID}, "errors": [{"code": 130429}]},
        {"metadata": {"phone_number_id": 5}, "messages": [{"id": "a", "from": "1"}]},
        {"messages": [{"id": "a", "from": "1"}]},
        {"event": "APPROVED", "message_template_id": 1},
    ],
)
def test_a_change_of_an_odd_shape_is_taken_and_forgotten(add, value):
    add()
    body = json.dumps({"entry": [{"changes": [{"field": "messages", "value": value}]}]}).encode()
    assert tell(body)[0] == 200
    assert not InboundMessage.objects.exists()


@pytest.mark.parametrize(
    "odd",
    [
        {"text": "Hi"},
        {"text": {"body": 5}},
        {"text": None, "timestamp": "99999999999999999999"},
        {"timestamp": 1767323045, "image": []},
        {"timestamp": {"a": 1}, "interactive": {"button_reply": []}},
    ],
)
def test_a_message_of_an_odd_shape_is_kept_all_the_same(add, odd):
    add()
    assert tell(post(messages=[{"id": "wamid.a", "from": "14155550101"} | odd]))[0] == 200
    assert InboundMessage.objects.get().text == ""


@pytest.mark.parametrize("errors", [None, "x", [], [5], [{"code": None}], {"code": 1}])
def test_a_failure_of_an_odd_shape_is_a_failure(add, sent, errors):
    key = sent(add(), "wamid.1")
    assert tell(post(statuses=[state("wamid.1", "failed", errors=errors)]))[0] == 200
    assert status_of(key) == "failed"


@pytest.mark.parametrize("shown", ["sha256=", "sha256", "sha1=abc", "é", "sha256=" + "0" * 64, "=" * 3000])
def test_an_odd_signature_is_none(add, shown):
    add()
    assert tell(post(), **{"X-Hub-Signature-256": shown})[0] == 401


def test_an_odd_challenge_is_none(add):
    add()
    for query in ("", "?hub.mode=subscribe", "?hub.verify_token=%FF%FE&hub.mode=subscribe"):
        assert Client().get(f"/intake/wa/events{query}").status_code == 401
    assert Client().get("/intake/wa/events?" + "a&" * 2000).status_code == 400


def test_a_text_that_was_cut_within_a_character_is_kept(add):
    add()
    message = {"id": "wamid.a", "from": "14155550101", "type": "text", "text": {"body": "Hi 👍 \ud83d"}}
    assert tell(post(messages=[message]))[0] == 200
    assert InboundMessage.objects.get().text == "Hi 👍 \ufffd"


@pytest.mark.parametrize("body", [b'{"a": "\\ud83d"', b'{"a": NaN, "b": "\\ud83d"}', b'["\\ud83d",]'])
def test_what_is_no_json_is_none_with_half_a_character_in_it_either(add, body):
    add()
    assert tell(body)[0] == 400
