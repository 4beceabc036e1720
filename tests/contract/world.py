"""One row of everything that a tenant can own."""

import functools
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db.models import Model

from gateway import ids, sealing
from gateway.api.described import samples
from gateway.api.shapes import UUID
from gateway.models import Contact, InboundMessage, Keyword, OptOut, Template
from tests.factories import Caller, message
from webhooks.models import Attempt, Callback, Replay, SignatureKey

WEBHOOK: dict[str, Any] = {
    "url": "http://127.0.0.1:9/theirs-alone",
    "method": "POST",
    "encoding": "JSON",
    "events": ["message.sent"],
}


# Stands in what the tenant owns and nowhere else, in any case; so do the numbers.
MARK = "theirs-alone"
NUMBERS = "+1415555017"
# What a path is about, by how it begins.
OWNERS = {
    "/v1/messages/": "message",
    "/v1/batches/": "batch",
    "/v1/webhooks/messages/": "webhook",
    "/v1/webhooks/deliveries/": "delivery",
    "/v1/webhooks/replays/": "replay",
    "/v1/iam/signature_keys/": "signatureKey",
    "/v1/templates/": "template",
    "/v1/contacts/": "contact",
    "/v1/opt-outs/": "optOut",
    "/v1/keywords/": "keyword",
    "/v1/inbound/": "inbound",
}


def owner(path: str) -> str | None:
    """Which of the tenant's things a path is about; None when that is unknown."""
    return next((name for start, name in OWNERS.items() if path.startswith(start)), None)


class World:
    """``ids[name]`` is the id of the tenant's one ``name``: message, batch, webhook, template, contact, …"""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        tenant_id = caller.tenant.pk
        theirs = message(to="+14155550171", clientMessageId="theirs-alone", metadata={"order": "42"})
        self.ids = {
            "message": self._made("/v1/messages", theirs)["id"],
            "batch": self._made("/v1/messages/bulk", {"messages": [message(), message()]})["batchId"],
            "webhook": self._made("/v1/webhooks/messages", WEBHOOK)["id"],
        }
        for name, row in (_of_gateway() | _of_webhooks(self.ids)).items():
            row.tenant_id = tenant_id  # type: ignore[attr-defined]
            row.save()
            self.ids[name] = str(row.pk)
        # What a delivery's attempts tell.
        Attempt.objects.create(
            callback_id=self.ids["delivery"],
            number=1,
            tenant_id=tenant_id,
            started_at=datetime.now(tz=UTC),
            duration_ms=1,
            outcome="status",
            status_code=500,
            body="Theirs-alone",
        )

    def _made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        made = self.caller.post(path, body)
        assert made.status in {200, 201}, made.json
        return made.json


def _of_gateway() -> dict[str, Model]:
    return {
        "template": Template(
            name="theirs-alone",
            language="en",
            channels=["sms"],
            body="Theirs-alone: {{name}}",
            category="utility",
            status=Template.Status.APPROVED,
        ),
        "contact": Contact(phone="+14155550172", tags=["vip"]),
        "optOut": OptOut(phone="+14155550173"),
        "keyword": Keyword(keyword="THEIRS-ALONE", action=Keyword.Action.REPLY, reply_text="Theirs-alone"),
        "inbound": InboundMessage(
            operator="demo",
            sender="+14155550174",
            recipient="4242",
            text="Theirs-alone",
            raw={},
            received_at=datetime.now(tz=UTC),
        ),
    }


def _of_webhooks(made: dict[str, str]) -> dict[str, Model]:
    now = datetime.now(tz=UTC)
    return {
        "delivery": Callback(
            event_id=ids.one(),
            message_id=made["message"],
            endpoint=made["webhook"],
            type="message.sent",
            state="dead",
            attempts=1,
        ),
        "replay": Replay(webhook_id=made["webhook"], since=now, until=now, only=Replay.Only.FAILED),
        # The document's examples are about it: whoever sends them as they stand means this one.
        "signatureKey": SignatureKey(
            id=samples.of(UUID, {}),
            digest="SHA256",
            public_key="theirs-alone",
            private_key=_private_key(),
            enabled=True,
        ),
    }


@functools.cache
def _private_key() -> bytes:
    """Sealed. To make one takes longer than all else here."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return sealing.seal(plain, context=sealing.CONTEXT_SIGNATURE_KEY)
