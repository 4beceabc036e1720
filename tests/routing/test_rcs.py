"""RCS: what Google is sent, what its answers mean, tokens, and who cannot be reached."""

import asyncio
import json
import socket
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from routing.contract import OperatorSettings, Verdict
from routing.errors import OperatorSettingsError
from routing.transports.http_answers import Meaning
from routing.transports.http_client import Answer
from routing.transports.http_engine import UnsendableError
from routing.transports.rcs import RcsTransport
from routing.transports.rcs_capabilities import Capabilities
from tests.fakes.http_listener import CLOSE, closed_port, status
from tests.fakes.rcs import AGENT, Google, key_file
from tests.routing.http_world import Answers, Changes, outbound, submit, wait

PHONES = "https://rcsbusinessmessaging.googleapis.com/v1/phones"


def made(*, secrets=None, **settings):
    given = {"agent_id": AGENT} | settings
    secrets = {"token": Google.TOKEN} if secrets is None else secrets
    return RcsTransport(OperatorSettings(1, "rcs", "rcs", None, given, secrets=secrets))


@contextmanager
def opened(fake, *, secrets=None, up=True, **settings):
    transport = made(secrets=secrets, **fake.account(**settings))
    transport.start(sink=Changes())
    try:
        if up:
            wait(lambda: transport.state().up)
        yield transport
    finally:
        transport.stop(deadline=2)


@pytest.fixture
def fake():
    with Google() as running:
        yield running


def content_of(message, **settings):
    return json.loads(made(**settings).request(message).body)["contentMessage"]


def test_it_sends_a_text():
    message = outbound("Olá", channel="rcs")
    asked = made().request(message)
    assert asked.url.startswith(f"{PHONES}/+14155550101/agentMessages?messageId=")
    assert asked.url.endswith("&agentId=acme_ab12cd34_agent%40rbm.goog")
    assert json.loads(asked.body) == {"contentMessage": {"text": "Olá"}}


def test_it_sends_the_same_message_under_the_same_id_and_another_under_another():
    one = outbound("a")
    assert made().request(one).url == made().request(one).url
    later = outbound("b", message_id=one.message_id)
    urls = {made().request(each).url for each in (one, later, outbound("a"))}
    assert len(urls) == 3


def test_it_says_until_when_a_message_is_good_and_what_for():
    moment = datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)
    body = json.loads(made(traffic_type="TRANSACTION").request(outbound(expires_at=moment)).body)
    assert body["expireTime"] == "2026-01-02T03:04:05.006Z"
    assert body["messageTrafficType"] == "TRANSACTION"


@pytest.mark.parametrize("kind", ["image", "video", "audio", "document", "sticker"])
def test_it_sends_a_file(kind):
    media = {"url": "https://x.example/a", "type": kind, "caption": None}
    shown = content_of(outbound(None, content={"media": media}))
    assert shown == {"contentInfo": {"fileUrl": "https://x.example/a"}}


def test_a_picture_with_a_caption_is_a_card():
    media = {"url": "https://x.example/a", "type": "image", "caption": "Look"}
    card = content_of(outbound(None, content={"media": media}))["richCard"]["standaloneCard"]
    assert card["cardOrientation"] == "VERTICAL"
    assert card["cardContent"]["description"] == "Look"
    assert card["cardContent"]["media"]["contentInfo"] == {"fileUrl": "https://x.example/a"}


def test_a_template_is_its_text_with_what_is_offered_below_it():
    offered = [
        {"reply": {"text": "Yes", "postbackData": "yes-{{messageId}}"}},
        {"action": {"text": "Open", "postbackData": "o", "openUrlAction": {"url": "{{metadata.link}}"}}},
    ]
    message = outbound(
        "Your order", content={"template": {"name": "order"}}, metadata={"link": "https://x.example"}
    )
    shown = content_of(message, suggestions={"order": offered})
    assert shown["text"] == "Your order"
    assert shown["suggestions"][0]["reply"]["postbackData"] == f"yes-{message.message_id}"
    assert shown["suggestions"][1]["action"]["openUrlAction"] == {"url": "https://x.example"}


@pytest.mark.parametrize(
    "message",
    [outbound(None), outbound("x" * 3073), outbound(None, content={"media": {"type": "image", "id": "9"}})],
    ids=["empty", "long", "no-url"],
)
def test_it_sends_nothing_that_has_no_form_there(message):
    with pytest.raises(UnsendableError):
        made().request(message)


@pytest.mark.parametrize(
    ("code", "told", "meaning", "error_code"),
    [
        (404, "NOT_FOUND", Meaning.PERMANENT, "RECIPIENT_NOT_REACHABLE"),
        (400, "INVALID_ARGUMENT", Meaning.PERMANENT, None),
        (401, "UNAUTHENTICATED", Meaning.BARRED, None),
        (403, "PERMISSION_DENIED", Meaning.PERMANENT, None),
        (429, "RESOURCE_EXHAUSTED", Meaning.THROTTLED, None),
        (500, "INTERNAL", Meaning.UNKNOWN, None),
        (503, "UNAVAILABLE", Meaning.TEMPORARY, None),
        (409, "ABORTED", Meaning.TEMPORARY, None),
        (499, "CANCELLED", Meaning.UNKNOWN, None),
    ],
)
def test_it_reads_refusals(code, told, meaning, error_code):
    reading = made().read(Answer(code, json.dumps({"error": {"status": told}}).encode()))
    assert (reading.meaning, reading.code, reading.error_code) == (meaning, told, error_code)


def test_a_refusal_of_us_all_is_no_recipients():
    details = [{"@type": "x", "reason": "SERVICE_DISABLED"}]
    body = json.dumps({"error": {"status": "PERMISSION_DENIED", "details": details}}).encode()
    assert made().read(Answer(403, body)).meaning is Meaning.BARRED


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "x"}', b'{"error": {"details": 5}}'])
def test_what_cannot_be_read_is_by_its_status(body):
    reading = made().read(Answer(404, body))
    assert (reading.meaning, reading.code, reading.error_code) == (Meaning.PERMANENT, "HTTP 404", None)
    assert made().read(Answer(200, body)).meaning is Meaning.ACCEPTED


def test_an_operator_may_class_a_code_otherwise():
    errors = {"PERMISSION_DENIED": "temporary", "404": "permanent:UNDELIVERABLE"}
    transport = made(errors=errors)
    assert (
        transport.read(Answer(403, b'{"error": {"status": "PERMISSION_DENIED"}}')).meaning
        is Meaning.TEMPORARY
    )
    assert transport.read(Answer(404, b'{"error": {"status": "NOT_FOUND"}}')).error_code == "UNDELIVERABLE"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"agent_id": None}, "agent_id"),
        ({"agent_id": "a b"}, "agent_id"),
        ({"url": "example"}, "url"),
        ({"traffic_type": "SPAM"}, "traffic_type"),
        ({"capability_check": "yes"}, "capability_check"),
        ({"capability_hours": 0}, "capability_hours"),
        ({"suggestions": []}, "suggestions"),
        ({"suggestions": {"a": [{}] * 12}}, "suggestions"),
        ({"suggestions": {"a": [{"t": "{{x}}"}]}}, "suggestions.a[0].t"),
        ({"address": ""}, "address"),
        ({"errors": {"1": "bad"}}, "errors['1']"),
        ({"phone_number_id": "1"}, "'phone_number_id'"),
        ({"secrets": {}}, "service_account and token"),
        ({"secrets": {"token": "a", "service_account": "{}"}}, "service_account and token"),
        ({"secrets": {"service_account": "key.json"}}, "service_account cannot be used"),
        ({"secrets": {"service_account": "[]"}}, "service_account cannot be used"),
        ({"secrets": {"service_account": key_file(private_key="x")}}, "private_key"),
        ({"secrets": {"service_account": key_file(client_email=None)}}, "client_email"),
        ({"secrets": {"service_account": key_file(token_uri="ftp://x")}}, "token_uri"),
        ({"secrets": {"token": "a", "intake_token": "short"}}, "intake_token"),
    ],
)
def test_it_refuses_nonsense_and_names_it(settings, named):
    with pytest.raises(OperatorSettingsError, match=r"^rcs: ") as found:
        made(**settings)
    assert named in str(found.value)
    assert "PRIVATE KEY" not in str(found.value)


def test_a_key_file_may_be_given_as_an_object():
    assert made(secrets={"service_account": json.loads(key_file())})


def test_it_speaks_with_google(fake):
    fake.unreachable = {"+14155550102"}
    with opened(fake) as transport:
        good, bad = outbound(channel="rcs"), outbound(recipient="+14155550102")
        outcomes = {outcome.delivery_id: outcome for outcome in submit(transport, [good, bad])}
    assert outcomes[good.delivery_id].verdict is Verdict.ACCEPTED
    assert outcomes[good.delivery_id].remote_ids == (next(iter(fake.seen)),)
    refused = outcomes[bad.delivery_id]
    assert (refused.verdict, refused.code) == (Verdict.REFUSED, "NOT_FOUND")
    assert refused.error_code == "RECIPIENT_NOT_REACHABLE"


def test_a_message_whose_answer_was_missed_is_known_when_it_comes_again(fake):
    message = outbound()
    with opened(fake) as transport:
        (first,) = submit(transport, [message])
        (again,) = submit(transport, [message])
    assert (again.verdict, again.remote_ids) == (Verdict.ACCEPTED, first.remote_ids)
    assert len(fake.seen) == 1


@pytest.mark.parametrize("steps", [[CLOSE], [status(500)]], ids=["closed", "500"])
def test_a_message_without_an_answer_has_the_id_that_events_will_bear(fake, steps):
    fake.play = lambda _request, _number: steps
    with opened(fake) as transport:
        (outcome,) = submit(transport, [outbound()])
    assert outcome.verdict is Verdict.UNKNOWN
    assert f"messageId={outcome.remote_ids[0]}&" in fake.requests[0].target


def test_it_gets_one_token_for_all(fake):
    with opened(fake, secrets={"service_account": fake.key_file()}) as transport:
        outcomes = submit(transport, [outbound() for _ in range(50)])
    assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}
    assert fake.issued == 1


def test_it_gets_the_next_token_before_the_last_one_ends(fake):
    fake.lasts = 2  # seconds: less than it wants to be early, so half of them
    with opened(fake, secrets={"service_account": fake.key_file()}) as transport:
        submit(transport, [outbound()])
        submit(transport, [outbound()])
        assert fake.issued == 1
        time.sleep(1.0)
        submit(transport, [outbound()])
        wait(lambda: fake.issued == 2)


def test_it_gets_another_token_when_one_is_refused(fake):
    with opened(fake, secrets={"service_account": fake.key_file()}) as transport:
        submit(transport, [outbound()])
        fake.tokens.clear()
        (outcome,) = submit(transport, [outbound()])
    assert (outcome.verdict, fake.issued) == (Verdict.ACCEPTED, 2)


def test_it_is_down_while_it_gets_no_token(fake):
    account = fake.key_file(private_key_id="unknown")
    with opened(fake, secrets={"service_account": account}) as transport:
        answers = Answers()
        transport.submit([outbound()], answers)
        wait(lambda: "invalid" in transport.state().detail["lastError"].lower())
        assert "no token: HTTP status 400" in transport.state().detail["lastError"]
        assert answers.none_within(0.05)
    assert answers.next()[0].verdict is Verdict.RETRY
    assert not fake.targets("agentMessages")


@pytest.mark.parametrize(
    "answer", [[CLOSE], [status(200, body=b"<html>")], [status(200, body=b'{"access_token": 5}')]]
)
def test_a_message_never_goes_without_a_token(fake, answer):
    take = fake.play
    fake.play = lambda request, number: answer if request.target == "/token" else take(request, number)
    with opened(fake, secrets={"service_account": fake.key_file()}) as transport:
        answers = Answers()
        transport.submit([outbound()], answers)
        wait(lambda: "no token" in transport.state().detail["lastError"])
        fake.play = take
        assert answers.next()[0].verdict is Verdict.ACCEPTED


def test_a_token_from_nowhere_is_like_no_connection(fake):
    account = fake.key_file(token_uri=f"http://127.0.0.1:{closed_port()}/token")
    with opened(fake, secrets={"service_account": account}) as transport:
        transport.submit([outbound()], Answers())
        wait(lambda: "no token: no connection" in transport.state().detail["lastError"])


def test_it_asks_once_whether_a_recipient_can_be_reached(fake):
    fake.unreachable = {"+14155550102"}
    with opened(fake, capability_check=True) as transport:
        messages = [outbound(recipient=f"+1415555010{number % 2 + 1}") for number in range(20)]
        outcomes = {outcome.delivery_id: outcome for outcome in submit(transport, messages)}
    verdicts = [(outcomes[m.delivery_id].verdict, outcomes[m.delivery_id].error_code) for m in messages]
    assert verdicts == [(Verdict.ACCEPTED, None), (Verdict.REFUSED, "RECIPIENT_NOT_REACHABLE")] * 10
    assert len(fake.targets("capabilities")) == 2
    assert len(fake.targets("agentMessages")) == 10


def test_it_asks_again_when_the_hours_are_over(fake):
    with opened(fake, capability_check=True) as transport:
        transport._capabilities._seconds = 0.0
        submit(transport, [outbound()])
        submit(transport, [outbound()])
    assert len(fake.targets("capabilities")) == 2


def test_a_message_that_finds_nobody_tells_for_those_after_it(fake):
    with opened(fake, capability_check=True) as transport:
        submit(transport, [outbound()])
        fake.unreachable = {"+14155550101"}
        submit(transport, [outbound()])
        (outcome,) = submit(transport, [outbound()])
    assert outcome.error_code == "RECIPIENT_NOT_REACHABLE"
    assert len(fake.targets("agentMessages")) == 2


@pytest.mark.parametrize("steps", [[status(500)], [CLOSE]], ids=["500", "closed"])
def test_a_check_that_fails_holds_nothing_up(fake, steps):
    take = fake.play
    fake.play = lambda request, number: steps if "capabilities" in request.target else take(request, number)
    with opened(fake, capability_check=True) as transport:
        (outcome,) = submit(transport, [outbound()])
    assert outcome.verdict is Verdict.ACCEPTED


def test_a_check_that_is_too_much_pauses(fake):
    take = fake.play
    busy = status(429, headers="Retry-After: 1", body=b'{"error": {"status": "RESOURCE_EXHAUSTED"}}')
    fake.play = lambda request, number: [busy] if "capabilities" in request.target else take(request, number)
    with opened(fake, capability_check=True) as transport:
        transport.submit([outbound()], Answers())
        wait(lambda: transport.state().paused_until is not None)
    assert not fake.targets("agentMessages")


def test_a_slow_check_holds_up_no_other(fake):
    take = fake.play

    def play(request, number):
        slow = "capabilities" in request.target and "+14155550109" in request.target
        return [0.5, *take(request, number)] if slow else take(request, number)

    fake.play = play
    with opened(fake, capability_check=True) as transport:
        answers = Answers()
        began = time.monotonic()
        transport.submit([outbound(recipient="+14155550109"), outbound()], answers)
        (first,) = answers.next()
        assert time.monotonic() - began < 0.4
        assert answers.next()[0].delivery_id != first.delivery_id


def test_it_forgets_the_oldest_when_there_are_too_many():
    known = Capabilities(phones="", agent="", seconds=60, room=8)
    for number in range(9):
        known.unreachable(str(number))
    assert asyncio.run(known.refusal("8", {}, None)).status == 404
    assert list(known._known) == [str(number) for number in range(3, 9)]


def test_ids_are_uuids():
    asked = made().request(outbound())
    assert uuid.UUID(asked.url.partition("messageId=")[2].partition("&")[0]).version == 5


def test_what_was_not_sent_yet_when_it_stops_waits_again(fake):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        key = key_file(token_uri=f"http://127.0.0.1:{deaf.getsockname()[1]}/token")
        transport = made(secrets={"service_account": key}, **fake.account())
        transport.start(sink=Changes())
        wait(lambda: transport.state().up)
        outcomes = []
        transport.submit([outbound("a", channel="rcs")], outcomes.extend)
        deaf.accept()[0].close()
        connection, _address = deaf.accept()
        with connection:
            transport.stop(deadline=0.2)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.RETRY]
