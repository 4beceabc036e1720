"""Whatever is posted to the intake of WhatsApp and RCS: it is read, left out or refused by name, and breaks nothing."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.contract import Inbound, OperatorSettings, Receipt
from routing.transports import rcs_intake, whatsapp_intake
from routing.transports.http_intake import Presented, UnreadableError
from routing.transports.http_settings import Reader
from tests.fakes.rcs import CLIENT_TOKEN, event, message

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RCS = rcs_intake.read(
    Reader(OperatorSettings(1, "rcs", "rcs", None, {"agent_id": "a"}, secrets={"client_token": CLIENT_TOKEN}))
)
WHATSAPP = whatsapp_intake.read(
    Reader(OperatorSettings(1, "wa", "whatsapp", None, {"phone_number_id": "1"}, secrets={"app_secret": "s"}))
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def bent(item):
    """The item with some of its members replaced by anything, or gone."""
    change = st.dictionaries(
        st.sampled_from([*item, "agentId", "timestamp", "errors", "text"]), ANY, max_size=3
    )
    gone = st.sets(st.sampled_from(list(item)), max_size=2)
    return st.builds(lambda new, less: {n: v for n, v in (item | new).items() if n not in less}, change, gone)


def posted(item):
    data = base64.b64encode(json.dumps(item).encode("utf-8", "surrogatepass")).decode()
    return {"message": {"data": data}}


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(ANY, bent(event("READ", "m")), bent(message("m", text="Hi")), bent(message("m", location={})))
)
def test_rcs_reads_what_it_takes(item):
    for each in RCS.events(posted(item)):
        found = RCS.read(each, NOW)
        assert isinstance(found, Receipt | Inbound)
        assert "\0" not in json.dumps(found.raw)


@settings(max_examples=80, deadline=None)
@given(ANY)
def test_rcs_takes_any_wrapping_for_none(document):
    assert RCS.events(document) == [] or isinstance(document, dict)
    assert not RCS.door.admits(Presented("", {"X-Goog-Signature": "x"}, json.dumps(document).encode()))


STATUS = {"id": "wamid.1", "status": "failed", "errors": [{"code": 1}], "timestamp": "1767323045"}
TEXT = {"id": "wamid.1", "from": "1415", "type": "text", "text": {"body": "Hi"}, "interactive": {}}


@settings(max_examples=80, deadline=None)
@given(st.one_of(ANY, bent(STATUS)), st.one_of(ANY, bent(TEXT)))
def test_whatsapp_reads_what_it_takes_or_names_what_is_missing(status, text):
    value = {"metadata": {"phone_number_id": "1"}, "statuses": [status], "messages": [text]}
    for each in WHATSAPP.events({"entry": [{"changes": [{"value": value}]}]}):
        if missing := whatsapp_lacks(each):
            with pytest.raises(UnreadableError, match=missing):
                WHATSAPP.read(each, NOW)
        else:
            assert isinstance(WHATSAPP.read(each, NOW), Receipt | Inbound)


def whatsapp_lacks(each):
    needed = ("id", "status") if each.kind == "statuses" else ("from", "id")
    item = each.item if isinstance(each.item, dict) else {}
    absent = (name for name in needed if not isinstance(item.get(name), str) or not item[name])
    return next((f"{each.kind}.{name}" for name in absent), "")


@settings(max_examples=80, deadline=None)
@given(ANY)
def test_whatsapp_takes_any_post(document):
    assert WHATSAPP.events(document) == [] or isinstance(document, dict)
