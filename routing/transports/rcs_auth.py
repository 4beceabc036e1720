"""Bearer tokens for Google's APIs: one that was given, or a service account's, each asked for before the last ends.

Source: RFC 7523; Google's "Using OAuth 2.0 for server to server applications".
"""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
import structlog
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from routing.errors import OperatorSettingsError
from routing.transports.http_client import Client, NoAnswerError, NotSentError, Request
from routing.transports.http_settings import Reader

log = structlog.get_logger(__name__)

SCOPE = "https://www.googleapis.com/auth/rcsbusinessmessaging"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  an address
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 3600
# A token is replaced so long before it ends; one that says nothing of its end lives an hour.
EARLY_SECONDS = 300.0
USUAL_SECONDS = 3600.0
# After a failure, while the old token lasts.
AGAIN_SECONDS = 10.0

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """A service account, of its key file."""

    email: str
    key_id: str
    token_url: str
    key: RSAPrivateKey = field(repr=False)

    def assertion(self, now: datetime) -> str:
        """The signed claim (RS256) that is exchanged for a token."""
        issued = int(now.timestamp())
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        claims = {
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_url,
            "iat": issued,
            "exp": issued + ASSERTION_SECONDS,
        }
        signed = ".".join(_encoded(msgspec.json.encode(each)) for each in (head, claims))
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"


class Tokens:
    """The headers of requests. Used on the loop; however many ask, one request for a token is under way."""

    def __init__(self, *, account: Account | None, token: str = "") -> None:
        self._account = account
        self._headers: Headers | None = _headers(token) if token else None
        self._ends_at = self._renew_at = float("inf")
        self._again_at = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def headers(self, client: Client) -> Headers:
        """The headers to send with.

        Raises:
            NotSentError: there is no token; the operator knows nothing of the message.
        """
        now = time.monotonic()
        if self._headers is None or now >= self._ends_at:
            # One who no longer waits must not end it for the others.
            await asyncio.shield(self._fetch(client))
        elif now >= max(self._renew_at, self._again_at):
            self._fetch(client)
        if self._headers is None:
            raise NotSentError("the token was refused")
        return self._headers

    def refused(self, headers: Headers) -> None:
        """The operator does not take these: get others, where there are others."""
        if self._account is not None and headers is self._headers:
            self._headers = None

    def _fetch(self, client: Client) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.get_running_loop().create_task(self._renew(client))
            self._fetching.add_done_callback(_heard)
        return self._fetching

    async def _renew(self, client: Client) -> None:
        assert self._account is not None
        self._again_at = time.monotonic() + AGAIN_SECONDS
        assertion = self._account.assertion(datetime.now(tz=UTC))
        body = urlencode({"grant_type": GRANT, "assertion": assertion}).encode()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            answer = await client.send(Request("POST", self._account.token_url, form, body))
        except (NotSentError, NoAnswerError) as error:
            raise NotSentError(f"no token: {error}") from error
        told = _document(answer.body)
        token = told.get("access_token")
        if answer.status != 200 or not isinstance(token, str) or not token.isascii():
            reason = str(told.get("error_description") or told.get("error") or "no reason given")[:200]
            raise NotSentError(f"no token: HTTP status {answer.status}, {reason}")
        lasts = told.get("expires_in")
        seconds = float(lasts) if isinstance(lasts, int) and lasts > 0 else USUAL_SECONDS
        self._headers, self._ends_at = _headers(token), time.monotonic() + seconds
        self._renew_at = self._ends_at - min(EARLY_SECONDS, seconds / 2)
        self._again_at = 0.0


def read(reader: Reader) -> Tokens:
    """The tokens by an operator's secrets.

    Raises:
        OperatorSettingsError: there is neither secret, both, or a key file that is none.
    """
    token, given = reader.secret("token"), reader.operator.secrets.get("service_account")
    slug = reader.operator.slug
    if bool(token) == bool(given):
        raise OperatorSettingsError(f"{slug}: give one of the secrets service_account and token.")
    if token:
        return Tokens(account=None, token=token)
    try:
        return Tokens(account=_account(given if isinstance(given, dict) else json.loads(str(given))))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        told = str(error) if isinstance(error, _KeyFileError) else "it is not the JSON of a key file"
        raise OperatorSettingsError(f"{slug}: the secret service_account cannot be used: {told}.") from None


class _KeyFileError(ValueError):
    """A member is missing or no good; names it, never shows it."""


def _account(told: dict[str, Any]) -> Account:
    for name in ("client_email", "private_key"):
        if not isinstance(told.get(name), str) or not told[name]:
            raise _KeyFileError(f"{name} is missing")
    url = str(told.get("token_uri") or TOKEN_URL)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(c.isspace() for c in url):
        raise _KeyFileError("token_uri must be an http or https URL")
    try:
        key = serialization.load_pem_private_key(told["private_key"].encode(), password=None)
    except (ValueError, TypeError) as error:
        raise _KeyFileError("private_key is not a PEM key") from error
    if not isinstance(key, RSAPrivateKey):
        raise _KeyFileError("private_key is not an RSA key")
    return Account(told["client_email"], str(told.get("private_key_id") or ""), url, key)


def _headers(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _heard(task: asyncio.Task[None]) -> None:
    """A token that was asked for ahead of time may fail with nobody waiting."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("token.refused", reason=str(error))
