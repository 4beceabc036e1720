"""One row of everything that a tenant can own."""

from datetime import UTC, datetime
from typing import Any

from gateway.models import Contact, InboundMessage, Keyword, OptOut, Template
from tests.factories import Caller, message

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
    "/v1/webhooks/": "webhook",
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
        rows = {
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
            "keyword": Keyword(
                keyword="THEIRS-ALONE", action=Keyword.Action.REPLY, reply_text="Theirs-alone"
            ),
            "inbound": InboundMessage(
                operator="demo",
                sender="+14155550174",
                recipient="4242",
                text="Theirs-alone",
                raw={},
                received_at=datetime.now(tz=UTC),
            ),
        }
        for name, row in rows.items():
            row.tenant_id = tenant_id
            row.save()
            self.ids[name] = str(row.pk)

    def _made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        made = self.caller.post(path, body)
        assert made.status in {200, 201}, made.json
        return made.json
