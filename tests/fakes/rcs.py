"""Google's RCS for Business API on loopback, as its public reference describes it: tokens, capabilities, messages in;
signed events out."""

import base64
import functools
import hmac
import json
import re
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.fakes.http_listener import Request, Step, status
from tests.fakes.http_operator import HttpOperator

AGENT = "acme_ab12cd34_agent@rbm.goog"
EMAIL = "sender@project.iam.gserviceaccount.com"
CLIENT_TOKEN = "SJENCPGJESMGUFPY"
_PHONE = re.compile(r"/v1/phones/(\+[1-9]\d{6,14})/(agentMessages|capabilities)")
_MEMBERS = {"contentMessage", "messageTrafficType", "expireTime", "ttl"}
_CONTENTS = {"text", "richCard", "contentInfo", "uploadedRbmFile"}


@functools.cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_file(**members: Any) -> str:
    """A service account's, as the console writes it."""
    pem = key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    told = {
        "type": "service_account",
        "private_key_id": "k1",
        "private_key": pem.decode(),
        "client_email": EMAIL,
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps(told | members, indent=2)


class Google(HttpOperator):
    """Refuses what the reference refuses. ``refusals`` are by recipient: status, ``error.status``, a reason."""

    TOKEN = "ya29.static"

    def __init__(self) -> None:
        super().__init__(self._take)
        self.unreachable: set[str] = set()
        self.refusals: dict[str, tuple[int, str, str | None]] = {}
        self.tokens = {self.TOKEN}
        self.issued = 0
        self.lasts = 3599
        self.seen: set[str] = set()

    def account(self, **settings: Any) -> dict[str, Any]:
        return {"url": self.url(""), "agent_id": AGENT, "timeout": 5} | settings

    def key_file(self, **members: Any) -> str:
        return key_file(**{"token_uri": self.url("/token")} | members)

    def targets(self, kind: str) -> list[str]:
        return [request.target for request in self.requests if kind in request.target]

    def _take(self, request: Request, number: int) -> Iterable[Step]:
        if request.target == "/token":
            return [self._token(request)]
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given not in self.tokens:
            return [_refusal(401, "UNAUTHENTICATED")]
        parts = urlsplit(request.target)
        found, query = _PHONE.fullmatch(parts.path), parse_qs(parts.query)
        if found is None or query.get("agentId") != [AGENT]:
            return [_refusal(400, "INVALID_ARGUMENT")]
        phone, kind = found.groups()
        if known := self.refusals.get(phone):
            return [_refusal(*known)]
        if phone in self.unreachable:
            return [_refusal(404, "NOT_FOUND")]
        if kind == "capabilities":
            uuid.UUID(query["requestId"][0])
            return [_json(200, {"features": ["RICHCARD_STANDALONE", "ACTION_OPEN_URL"]})]
        return [self._message(phone, query["messageId"][0], json.loads(request.body))]

    def _message(self, phone: str, key_: str, body: dict[str, Any]) -> bytes:
        uuid.UUID(key_)
        if fault := _fault(body):
            return _refusal(400, "INVALID_ARGUMENT", fault)
        if key_ in self.seen:
            return _refusal(409, "ALREADY_EXISTS")
        self.seen.add(key_)
        return _json(
            200, body | {"name": f"phones/{phone}/agentMessages/{key_}", "sendTime": "2026-01-02T03:04:05Z"}
        )

    def _token(self, request: Request) -> bytes:
        form = parse_qs(request.body.decode())
        signed, _dot, signature = form["assertion"][0].rpartition(".")
        head, claims = (json.loads(decoded(each)) for each in signed.split("."))
        good = head == {"alg": "RS256", "typ": "JWT", "kid": "k1"} and claims["iss"] == EMAIL
        good = good and claims["aud"] == self.url("/token") and claims["exp"] - claims["iat"] <= 3600
        good = good and claims["scope"] == "https://www.googleapis.com/auth/rcsbusinessmessaging"
        try:
            key().public_key().verify(
                decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            good = False
        if not good or form["grant_type"] != ["urn:ietf:params:oauth:grant-type:jwt-bearer"]:
            return _json(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        self.issued += 1
        token = f"ya29.{self.issued}"
        self.tokens.add(token)
        return _json(200, {"access_token": token, "expires_in": self.lasts, "token_type": "Bearer"})


def _fault(body: dict[str, Any]) -> str | None:
    """What the reference says is wrong with a message."""
    content = body.get("contentMessage", {})
    if body.keys() - _MEMBERS or content.keys() - _CONTENTS - {"suggestions"}:
        return "unknown member"
    if len(content.keys() & _CONTENTS) != 1:
        return "content"
    if len(content.get("text", "")) > 3072 or len(content.get("suggestions", [])) > 11:
        return "too long"
    if "expireTime" in body and not body["expireTime"].endswith("Z"):
        return "expireTime"
    return None


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _json(code: int, told: dict[str, Any]) -> bytes:
    return status(
        code, headers="Content-Type: application/json; charset=UTF-8", body=json.dumps(told).encode()
    )


def _refusal(code: int, name: str, reason: str | None = None) -> bytes:
    error: dict[str, Any] = {"code": code, "message": "refused", "status": name}
    if reason:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [{"@type": kind, "reason": reason, "domain": "googleapis.com"}]
    return _json(code, {"error": error})


def event(kind: str, message_id: str, **more: Any) -> dict[str, Any]:
    """A user's event; with ``phoneNumber`` in place of ``senderPhoneNumber`` the server's."""
    return {
        "senderPhoneNumber": "+14155550101",
        "eventType": kind,
        "eventId": str(uuid.uuid4()),
        "messageId": message_id,
        "sendTime": "2026-01-02T03:04:05.045123456Z",
        "agentId": AGENT,
    } | more


def message(message_id: str, **content: Any) -> dict[str, Any]:
    return {
        "senderPhoneNumber": "+14155550101",
        "messageId": message_id,
        "sendTime": "2026-01-02T03:04:05.045123456Z",
        "agentId": AGENT,
    } | content


def post(item: Any) -> bytes:
    """A webhook's body."""
    data = item if isinstance(item, bytes) else json.dumps(item).encode()
    wrapped = {
        "data": base64.b64encode(data).decode(),
        "attributes": {"product": "RBM", "type": "event", "agent_id": AGENT},
        "messageId": "1",
        "publishTime": datetime(2026, 1, 2).isoformat() + "Z",  # noqa: DTZ001  as it is written
    }
    return json.dumps({"message": wrapped, "subscription": "projects/p/subscriptions/s"}).encode()


def signature(body: bytes, token: str = CLIENT_TOKEN) -> str:
    data = base64.b64decode(json.loads(body)["message"]["data"])
    return base64.b64encode(hmac.digest(token.encode(), data, "sha512")).decode()
