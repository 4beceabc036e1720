"""What a developer tries before anything else, through the whole running product: the sandbox, and fallbacks."""

import contextlib
import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from tests.pipeline.peers import Listener

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.parametrize("running", ["embedded"], indirect=True, scope="session"),
]

PATIENCE_SECONDS = 20.0
LATE, LATE_SECONDS = "+15005550011", 10.0
# By recipient: the last status, its error, and what callbacks tell on the way.
OUTCOMES = {
    "+15005550006": ("delivered", None, ["accepted", "sent", "delivered"]),
    "+15005550007": ("failed", "UNDELIVERABLE", ["accepted", "sent", "failed"]),
    "+15005550008": ("expired", "EXPIRED_AT_OPERATOR", ["accepted", "sent", "expired"]),
    "+15005550009": ("rejected", "REJECTED_BY_OPERATOR", ["accepted", "rejected"]),
    "+15005550010": ("sent", None, ["accepted", "sent"]),
    "+14155550199": ("delivered", None, ["accepted", "sent", "delivered"]),
}
SMS = {"channel": "sms", "content": {"text": "The same by SMS"}}
_NO_RCS = "UPDATE routing_operator SET active = false WHERE channel = 'rcs' RETURNING id"
_UNTOLD = "SELECT count(*) FROM webhooks_duecallback"


class Beta:
    """A tenant of its own in the running product; what it asks is about its sandbox, if it is not ``live``.

    ``hook`` listens for its sandbox's webhook, ``own`` for messages' own callback URLs.
    """

    def __init__(self, stack, key, hook, own):
        self.stack, self.hook, self.own = stack, hook, own
        self._key = key

    def ask(self, path, body=None, *, method=None, live=False):
        """The status and the JSON of the answer to a GET, or to a POST of ``body``."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.stack.port}/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=headers | ({} if live else {"x-developer-mode": "true"}),
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def send(self, to, *, live=False, **members):
        """The id of a message that was accepted."""
        body = {"to": to, "from": "BETA", "content": {"text": "Hello"}} | members
        status, answer = self.ask("messages", body, live=live)
        assert status == 200, answer
        return answer["id"]

    def read(self, message_id, *, live=False):
        return self.ask(f"messages/{message_id}", live=live)[1]

    def await_status(self, message_id, status, *, live=False):
        """The message once it has this status."""
        self.await_(lambda: self.read(message_id, live=live)["status"] == status, f"not {status}")
        return self.read(message_id, live=live)

    def timeline(self, message_id, *, live=False):
        return [event["type"] for event in self.ask(f"messages/{message_id}/events", live=live)[1]["data"]]

    def await_told(self, listener, key, types):
        """Until the listener was told just this of a message, as ``sequence`` orders it; the callbacks' data."""

        def told():
            bodies = [json.loads(body) for _id, body in list(listener.came)]
            about = [
                body for body in bodies if key in {body["data"].get("id"), body["data"].get("inboundId")}
            ]
            return sorted(about, key=lambda body: body["data"]["sequence"])

        self.await_(lambda: len(told()) >= len(types), f"not told {types}")
        assert [body["type"] for body in told()] == types
        return [body["data"] for body in told()]

    def await_(self, check, words):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not check():
            assert time.monotonic() < deadline, f"{words}\n{self.stack.log_ends()}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def beta(running):
    with contextlib.ExitStack() as undo:
        listeners = [Listener(), Listener()]
        for each in listeners:
            undo.callback(each.close)
        undo.callback(running.sql, _NO_RCS)
        made = _set_up(running, *listeners)
        yield made
        made.await_(lambda: running.sql(_UNTOLD) == [(0,)], "callbacks are left")
    assert [each.received.refused for each in listeners] == [0, 0], "callbacks had a wrong signature"


def _set_up(stack, hook, own):
    rcs = {"transport": "simulator", "channel": "rcs"}
    tenant, key, *_rest = stack.manage(
        ("create_tenant", ["Beta"], {}),
        ("issue_key", [], {"tenant": "beta", "name": "developer"}),
        ("add_operator", ["rcs-fails"], rcs | {"set": ["outcome=undeliverable"]}),
        ("add_operator", ["rcs-silent"], rcs | {"set": ["outcome=none"]}),
        ("add_route", [], {"operator": "rcs-fails", "tenant": "beta", "prefix": "336"}),
        ("add_route", [], {"operator": "rcs-silent", "tenant": "beta", "prefix": "337"}),
    )
    beta = Beta(stack, key["apiKey"], hook, own)
    events = [
        f"message.{name}" for name in ("accepted", "sent", "delivered", "failed", "expired", "rejected")
    ]
    events += ["message.canceled", "message.received", "contact.opted_out", "contact.opted_in"]
    webhook = {"url": hook.url, "method": "POST", "encoding": "JSON", "events": events}
    status, made = beta.ask("webhooks/messages", webhook)
    assert status == 201, made
    hook.start(secret=made["secret"])
    own.start(secret=tenant["callbackSecret"])
    stack.await_calm()
    beta.late = beta.send(LATE)
    return beta


@pytest.mark.parametrize(
    ("recipient", "status", "code"),
    [
        ("+15005550001", 400, "INVALID_RECIPIENT"),
        ("+15005550002", 422, "NO_ROUTE"),
        ("+15005550004", 422, "RECIPIENT_OPTED_OUT"),
    ],
)
def test_it_refuses_the_recipients_that_stand_for_it(beta, recipient, status, code):
    refused, answer = beta.ask("messages", {"to": recipient, "content": {"text": "Hello"}})
    assert (refused, answer["errorCode"]) == (status, code)


def test_it_brings_each_recipient_to_its_outcome_and_tells_of_it(beta):
    ids = {to: beta.send(to, metadata={"order": to}, callbackUrl=beta.own.url) for to in OUTCOMES}
    for to, (status, error, told) in OUTCOMES.items():
        found = beta.await_status(ids[to], status)
        assert (found["errorCode"], found["operator"]) == (error, "sandbox")
        types = [f"message.{name}" for name in told]
        # The answer told of its acceptance whoever gave the message a URL.
        for listener, wanted in ((beta.hook, types), (beta.own, types[1:])):
            *_rest, last = beta.await_told(listener, ids[to], wanted)
            assert (last["status"], last["errorCode"], last["metadata"]) == (status, error, {"order": to})
        timeline = beta.timeline(ids[to])
        assert [type_ for type_ in timeline if type_ in types] == types, timeline


def test_it_sends_a_template(beta):
    body = {"name": "code", "body": "Hi {{name}}, your code is {{code}}"}
    assert beta.ask("templates", body)[1]["status"] == "approved"
    wanted = {"template": {"name": "code", "language": "en", "variables": {"name": "Zoë", "code": "42"}}}
    sent = beta.send("+15005550006", content=wanted)
    beta.await_status(sent, "delivered")
    assert beta.stack.sql("SELECT text FROM gateway_message WHERE id = %s", [sent]) == [
        ("Hi Zoë, your code is 42",)
    ]
    live = {"to": "+14155550101", "content": wanted}
    assert beta.ask("messages", live, live=True)[1]["errorCode"] == "TEMPLATE_NOT_FOUND"


def test_it_falls_back_at_once_when_a_step_fails(beta):
    sent = beta.send("+33600000001", live=True, channel="rcs", fallback=[SMS], callbackUrl=beta.own.url)
    found = beta.await_status(sent, "delivered", live=True)
    assert (found["channel"], found["operator"], found["errorCode"]) == ("sms", "alpha", None)
    timeline = beta.timeline(sent, live=True)
    assert (
        timeline.index("message.sent")
        < timeline.index("message.fallback")
        < timeline.index("message.delivered")
    )
    beta.await_(lambda: "+33600000001" in beta.stack.smsc.submits(), "the SMSC has not got it")
    beta.await_told(beta.own, sent, ["message.sent", "message.delivered"])


def test_it_falls_back_when_a_step_is_not_delivered_in_time(beta):
    began = time.monotonic()
    steps = [SMS | {"afterSeconds": 1}]
    ids = [
        beta.send(to, live=live, channel="rcs", fallback=steps)
        for to, live in (("+33700000001", True), ("+15005550010", False))
    ]
    found = beta.await_status(ids[0], "delivered", live=True)
    assert time.monotonic() - began >= 1
    assert (found["channel"], found["operator"]) == ("sms", "alpha")
    beta.await_(lambda: "fallback.sent" in beta.timeline(ids[1]), "nothing went on in the sandbox")
    found = beta.read(ids[1])
    assert (found["status"], found["channel"], found["operator"]) == ("sent", "sms", "sandbox")


def test_it_sends_what_is_scheduled_when_its_time_has_come(beta):
    at = datetime.now(tz=UTC) + timedelta(seconds=2)
    sent = beta.send("+15005550006", sendAt=at.isoformat())
    assert beta.read(sent)["status"] == "scheduled"
    beta.await_status(sent, "delivered")
    events = {event["type"]: event for event in beta.ask(f"messages/{sent}/events")[1]["data"]}
    assert datetime.fromisoformat(events["message.sent"]["occurredAt"]) >= at


def test_it_cancels_what_no_operator_has(beta):
    at = datetime.now(tz=UTC) + timedelta(days=1)
    sent = beta.send("+15005550006", sendAt=at.isoformat())
    status, answer = beta.ask(f"messages/{sent}/cancel", {})
    assert (status, answer["status"]) == (200, "canceled")
    beta.await_told(beta.hook, sent, ["message.accepted", "message.canceled"])
    sent = beta.send("+15005550010")
    beta.await_status(sent, "sent")
    status, answer = beta.ask(f"messages/{sent}/cancel", {})
    assert (status, answer["errorCode"]) == (409, "ALREADY_SENT")


def test_it_stops_at_a_stop_and_starts_at_a_start(beta):
    handset = "+14155550177"
    sent = beta.send(handset)
    status, came = beta.ask("sandbox/inbound", {"from": handset, "to": "BETA", "text": "Stop!"})
    assert (status, came["action"], came["inReplyTo"]) == (201, "optOut", sent)
    _received, out = beta.await_told(beta.hook, came["id"], ["message.received", "contact.opted_out"])
    assert (out["phone"], out["reason"]) == (handset, "STOP")
    refused, answer = beta.ask("messages", {"to": handset, "content": {"text": "Hello"}})
    assert (refused, answer["errorCode"]) == (422, "RECIPIENT_OPTED_OUT")
    to_it = f"messages?to=%2B{handset[1:]}&status=delivered"
    beta.await_(lambda: len(beta.ask(to_it)[1]["data"]) == 2, "the message and the reply are not delivered")
    _status, came = beta.ask("sandbox/inbound", {"from": handset, "to": "BETA", "text": "START"})
    beta.await_told(beta.hook, came["id"], ["message.received", "contact.opted_in"])
    beta.send(handset)
    beta.ask("sandbox/inbound", {"from": handset, "text": "QUIT"})


def test_it_calls_the_url_that_a_keyword_forwards_to(beta):
    rule = {"keyword": "vote", "match": "firstWord", "action": "forward", "callbackUrl": beta.own.url}
    assert beta.ask("keywords", rule)[0] == 201
    _status, came = beta.ask("sandbox/inbound", {"from": "+14155550178", "text": "Vote 7"})
    for listener in (beta.hook, beta.own):
        (told,) = beta.await_told(listener, came["id"], ["message.received"])
        assert (told["keyword"], told["text"], told["to"]) == ("VOTE", "Vote 7", "SANDBOX")


@pytest.mark.parametrize("path", ["messages", "inbound", "opt-outs", "templates", "webhooks/messages"])
def test_it_shows_nothing_across(beta, path):
    inside, outside = ({row["id"] for row in _rows(beta.ask(path, live=live)[1])} for live in (False, True))
    assert inside
    assert not inside & outside
    for key in sorted(inside)[:3]:
        assert beta.ask(f"{path}/{key}")[0] == 200
        assert beta.ask(f"{path}/{key}", live=True)[0] == 404


def _rows(page):
    return page["data"] if "data" in page else page["pageData"]


def test_it_counts_nothing_across(beta):
    def carriers(*, live):
        answer = beta.ask("analytics/messages?groupBy=operator", live=live)[1]
        return {line["operator"] for line in answer["data"]} - {None}

    beta.await_(lambda: carriers(live=False) == {"sandbox"}, "nothing is counted in the sandbox")
    assert carriers(live=True) == {"alpha"}


def test_it_reaches_no_real_operator(beta):
    assert [to for to in beta.stack.smsc.submits() if not to.startswith("+33")] == []


def test_it_delivers_one_after_ten_seconds(beta):
    beta.await_status(beta.late, "delivered")
    events = {event["type"]: event for event in beta.ask(f"messages/{beta.late}/events")[1]["data"]}
    sent, delivered = (
        datetime.fromisoformat(events[f"message.{name}"]["occurredAt"]) for name in ("sent", "delivered")
    )
    assert LATE_SECONDS - 0.5 <= (delivered - sent).total_seconds() < LATE_SECONDS + 5
