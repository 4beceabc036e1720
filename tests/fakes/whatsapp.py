"""Meta's Cloud API on loopback, as its public reference describes it: messages in, statuses and replies signed."""

import hmac
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.http_listener import Request, Step, status
from tests.fakes.http_operator import HttpOperator

ACCOUNT_ID = "102290129340398"
NUMBER_ID, NUMBER = "106540352242922", "15550783881"


class Meta(HttpOperator):
    """Refuses what the reference refuses. ``errors`` are codes to refuse recipients with (digits → status, code)."""

    TOKEN = "EAAG-system-user-token"
    APP_SECRET = "b3b4c2e1f0a9"
    VERIFY_TOKEN = "verify-me-please"

    def __init__(self) -> None:
        super().__init__(self._take)
        self.errors: dict[str, tuple[int, int]] = {}
        self.templates: list[dict[str, Any]] = []

    def account(self, **settings: Any) -> dict[str, Any]:
        return {"url": self.url("/v23.0"), "phone_number_id": NUMBER_ID, "timeout": 5} | settings

    def _take(self, request: Request, number: int) -> Iterable[Step]:
        if request.headers.get("authorization") != f"Bearer {self.TOKEN}":
            return [_refusal(401, 190, "Error validating access token")]
        if request.method == "GET" and request.target.startswith(f"/v23.0/{ACCOUNT_ID}/message_templates?"):
            return [_json(200, self._page(request.target))]
        if (request.method, request.target) != ("POST", f"/v23.0/{NUMBER_ID}/messages"):
            return [_refusal(400, 100, "Unsupported post request")]
        body = json.loads(request.body)
        if fault := _fault(body):
            return [_refusal(400, 100, fault)]
        if known := self.errors.get(body["to"]):
            return [_refusal(*known, "refused")]
        return [_json(200, self.taken(body["to"], f"wamid.{number}"))]

    def _page(self, target: str) -> dict[str, Any]:
        """A page of two templates, whatever limit was asked for."""
        asked = dict(parse_qsl(urlsplit(target).query))
        start = int(asked.get("after", 0))
        paging: dict[str, Any] = {"cursors": {"before": str(start), "after": str(start + 2)}}
        if start + 2 < len(self.templates):
            paging["next"] = "http://elsewhere.example/with-the-token"
        return {"data": self.templates[start : start + 2], "paging": paging}

    @staticmethod
    def taken(recipient: str, remote_id: str) -> dict[str, Any]:
        return {
            "messaging_product": "whatsapp",
            "contacts": [{"input": recipient, "wa_id": recipient}],
            "messages": [{"id": remote_id}],
        }


def _fault(body: dict[str, Any]) -> str | None:
    """What the reference says is wrong with a message."""
    kind = body.get("type")
    if body.get("messaging_product") != "whatsapp" or not str(body.get("to", "")).isdecimal():
        return "messaging_product or to"
    if kind not in body or not isinstance(body[kind], dict):
        return "type"
    needed = {"text": "body", "template": "name"}.get(kind, "link")
    if not body[kind].get(needed):
        return f"{kind}.{needed}"
    if kind == "template" and not body[kind].get("language", {}).get("code"):
        return "template.language.code"
    return None


def _json(code: int, told: dict[str, Any]) -> bytes:
    return status(
        code, headers="Content-Type: application/json; charset=UTF-8", body=json.dumps(told).encode()
    )


def _refusal(code: int, error: int, message: str) -> bytes:
    told = {"message": f"(#{error}) {message}", "type": "OAuthException", "code": error, "fbtrace_id": "A"}
    return _json(code, {"error": told})


def post(*, statuses: Iterable[Any] = (), messages: Iterable[Any] = (), number_id: str = NUMBER_ID) -> bytes:
    """A webhook's body."""
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": NUMBER, "phone_number_id": number_id},
    }
    value |= {"statuses": list(statuses)} if statuses else {}
    value |= {"messages": list(messages)} if messages else {}
    entry = {"id": ACCOUNT_ID, "changes": [{"field": "messages", "value": value}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def signature(body: bytes, secret: str = Meta.APP_SECRET) -> str:
    return f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}"
