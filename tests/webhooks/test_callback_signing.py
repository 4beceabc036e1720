import base64
import json
import os
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from webhooks import signing

BODY = b'{"type":"message.delivered"}'


def headers(*secrets: str, at: int, body: bytes = BODY) -> dict[str, str]:
    value = signing.sign(
        keys=[signing.key(secret) for secret in secrets], message_id=b"evt_1", timestamp=at, body=body
    )
    return {"webhook-id": "evt_1", "webhook-timestamp": str(at), "webhook-signature": value.decode()}


@pytest.fixture(params=["UTC", "Australia/Sydney", "America/New_York"])
def zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()
    assert "TZ" not in os.environ or os.environ["TZ"]


def test_it_is_verified_by_the_reference_library_in_any_time_zone(zone):
    secret = signing.new_secret()
    assert Webhook(secret).verify(BODY, headers(secret, at=int(time.time()))) == json.loads(BODY)


def test_it_equals_the_reference_librarys_own_signature():
    secret, at = signing.new_secret(), int(time.time())
    theirs = Webhook(secret).sign("evt_1", datetime.fromtimestamp(at, tz=UTC), BODY.decode())
    assert headers(secret, at=at)["webhook-signature"] == theirs


def test_it_verifies_with_the_new_and_the_old_secret_while_one_is_rotated():
    new, old, stranger = (signing.new_secret() for _ in range(3))
    sent = headers(new, old, at=int(time.time()))
    assert len(sent["webhook-signature"].split(" ")) == 2
    assert Webhook(new).verify(BODY, sent)
    assert Webhook(old).verify(BODY, sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(stranger).verify(BODY, sent)


def test_it_does_not_verify_another_body():
    secret = signing.new_secret()
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers(secret, at=int(time.time())))


@pytest.mark.parametrize("size", [0, 1, 23, 65])
def test_it_refuses_a_secret_of_a_length_that_the_standard_does_not_allow(size):
    with pytest.raises(ValueError):
        signing.key("whsec_" + base64.b64encode(b"x" * size).decode())


def test_it_makes_secrets_that_never_repeat():
    assert len({signing.new_secret() for _ in range(100)}) == 100
