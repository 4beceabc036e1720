"""What handsets write, through the whole running product: from the SMSC to its tenant, and the reply back."""

import contextlib
import json
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from tests.pipeline.peers import Listener

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.parametrize("running", ["embedded"], indirect=True, scope="session"),
]

PATIENCE_SECONDS = 20.0
EVENTS = ["message.received", "message.rejected", "contact.opted_out", "contact.opted_in"]
# What the two tenants share, and what only the first has.
SHARED, OWN = "4242", "14155550100"


class Shop:
    """A tenant of its own in the running product, with a listener for its webhook."""

    def __init__(self, stack, name, listener):
        self.stack, self.name, self.listener = stack, name, listener
        _tenant, key = stack.manage(
            ("create_tenant", [name], {}), ("issue_key", [], {"tenant": name, "name": "inbound"})
        )
        self._key = key["apiKey"]
        webhook = {"url": listener.url, "method": "POST", "encoding": "JSON", "events": EVENTS}
        listener.start(secret=self.ask("webhooks/messages", webhook)["secret"])

    def ask(self, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.stack.port}/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def send(self, to, **members):
        return self.ask("messages", {"to": to, "content": {"text": "Hello"}} | members)["id"]

    def inbox(self, sender):
        return [row["text"] for row in self.ask(f"inbound?from={sender.replace('+', '%2B')}")["data"]][::-1]

    def told(self, sender):
        """What its webhook was told about a handset: types, in no order."""
        bodies = [json.loads(body) for _id, body in list(self.listener.came)]
        return sorted(
            body["type"]
            for body in bodies
            if sender in {body["data"].get("from"), body["data"].get("phone"), body["data"].get("to")}
        )


@pytest.fixture(scope="module")
def shops(running):
    with contextlib.ExitStack() as undo:
        listeners = [Listener(), Listener()]
        for each in listeners:
            undo.callback(each.close)
        made = [Shop(running, name, each) for name, each in zip(("sushi", "pizza"), listeners, strict=True)]
        running.manage(
            ("add_number", [f"+{OWN}"], {"tenant": "sushi"}),
            ("add_number", [SHARED], {"tenant": "sushi", "keyword": "sushi"}),
            ("add_number", [SHARED], {"tenant": "pizza"}),
        )
        running.await_calm()
        yield made
        await_(
            running, lambda: running.sql("SELECT count(*) FROM webhooks_duecallback") == [(0,)], "callbacks"
        )
    assert [each.received.refused for each in listeners] == [0, 0], "callbacks had a wrong signature"


def await_(stack, check, words):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not check():
        assert time.monotonic() < deadline, f"{words}\n{stack.log_ends()}"
        time.sleep(0.05)


def write(stack, sender, recipient, text):
    stack.smsc.orders(f"mo {sender} {recipient} {text}")


def test_it_finds_the_tenant_by_number_and_by_keyword(shops, stack):
    sushi, pizza = shops
    handset = "+14155550111"
    for recipient, text in (
        (OWN, "Hello"),
        (SHARED, "Sushi for two"),
        (SHARED, "Margherita"),
        ("4343", "Who?"),
    ):
        write(stack, handset, recipient, text)
    await_(stack, lambda: len(sushi.inbox(handset)) == 2 and pizza.inbox(handset), "not in the inbox")
    assert (sorted(sushi.inbox(handset)), pizza.inbox(handset)) == (
        ["Hello", "Sushi for two"],
        ["Margherita"],
    )
    await_(stack, lambda: sushi.told(handset) == ["message.received"] * 2, "not told")
    assert stack.sql("SELECT text FROM gateway_inboundmessage WHERE tenant_id IS NULL") == [("Who?",)]


def test_it_opts_out_replies_and_refuses_what_waits(shops, stack):
    sushi, pizza = shops
    handset = "+14155550112"
    tomorrow = (datetime.now(tz=UTC) + timedelta(days=1)).isoformat()
    waiting = sushi.send(handset, sendAt=tomorrow)
    others = pizza.send(handset, sendAt=tomorrow)
    write(stack, handset, OWN, "Arrêt")
    await_(stack, lambda: sushi.ask(f"messages/{waiting}")["status"] == "rejected", "not refused")
    assert sushi.ask(f"messages/{waiting}")["errorCode"] == "RECIPIENT_OPTED_OUT"
    assert pizza.ask(f"messages/{others}")["status"] == "scheduled"
    pizza.ask(f"messages/{others}/cancel", {})
    (evidence,) = sushi.ask(f"opt-outs?phone={handset.replace('+', '%2B')}")["data"]
    assert (evidence["text"], evidence["source"]) == ("Arrêt", "keyword")
    await_(stack, lambda: handset in stack.smsc.submits(), "no reply")
    reply, *_waiting = sushi.ask(f"messages?to={handset.replace('+', '%2B')}")["data"]
    assert (reply["from"], reply["operator"]) == (OWN, "alpha")
    types = ["contact.opted_out", "message.received", "message.rejected"]
    await_(stack, lambda: sushi.told(handset) == types, "not told")
    write(stack, handset, OWN, "START")
    await_(stack, lambda: stack.smsc.submits().count(handset) == 2, "no reply")
    assert sushi.ask(f"opt-outs?phone={handset.replace('+', '%2B')}")["data"] == []


def test_it_lets_a_handset_leave_the_one_of_a_shared_number_that_wrote_last(shops, stack):
    sushi, pizza = shops
    handset = "+14155550113"
    key = sushi.send(handset, **{"from": SHARED})
    await_(stack, lambda: sushi.ask(f"messages/{key}")["status"] == "delivered", "not delivered")
    write(stack, handset, SHARED, "STOP")
    await_(stack, lambda: sushi.inbox(handset) == ["STOP"], "not in the inbox")
    assert pizza.inbox(handset) == []
    assert sushi.ask("inbound?limit=1")["data"][0]["inReplyTo"] == key
