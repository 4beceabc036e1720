"""What a webhook, or a message's callbackUrl, comes to when it is time to send: read once, kept while unchanged."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from gateway import sealing
from webhooks import backoff, signing, targets
from webhooks.backoff import Policy
from webhooks.formats import encodings, octopush, plans
from webhooks.formats.plans import OCTOPUSH, Plan
from webhooks.messagemedia_signing import Signer
from webhooks.targets import Target

DEFAULT_DEADLINE = 20.0
_NAMESPACE = uuid.UUID("5f0c3b7e-9d3a-5c1e-8a54-2b6d1f7c9e10")


@dataclass(slots=True)
class Destination:
    """``deadline`` in seconds for the whole attempt; ``webhook_id`` None for a message's callbackUrl.

    ``target`` is the failover's where the row is diverted; with references in the URL, each item has its own.
    """

    target: Target
    secret: bytes
    webhook_id: str | None = None
    previous_secret: bytes | None = None
    # Unix time until which the previous secret signs too.
    previous_until: float = 0.0
    deadline: float = DEFAULT_DEADLINE
    policy: Policy = backoff.EXPONENTIAL
    content_type: bytes = encodings.CONTENT_TYPES[encodings.JSON]
    format: str = "standard"
    # Events that go in one request at most, and the seconds one waits for others; 1: each goes by itself.
    batch_events: int = 1
    batch_seconds: float = 0.0
    # Whether there is another URL to try.
    has_failover: bool = False
    # What signs in MessageMedia's way besides.
    also_sign: Signer | None = None
    # How bodies and URLs are rendered; None: the standard body in JSON.
    plan: Plan | None = None

    def keys(self, now: float) -> list[bytes]:
        """The keys that sign at a moment, newest first."""
        if self.previous_secret is not None and now < self.previous_until:
            return [self.secret, self.previous_secret]
        return [self.secret]


class WebhookRow(msgspec.Struct, frozen=True):
    """A webhook's columns as far as sending goes; ``headers`` is JSON text, the secrets are sealed."""

    id: str
    url: str
    method: str
    encoding: str
    format: str
    template: str | None
    headers: str
    failover_url: str | None
    batch_max_events: int | None
    batch_max_delay_ms: int | None
    read_timeout: int | None
    retries: int | None
    retry_delay: int | None
    secret: bytes
    previous_secret: bytes | None
    previous_secret_until: datetime | None
    active: bool


class CallbackSecrets(NamedTuple):
    """A tenant's callback secret, sealed, and the one that signs beside it until its moment."""

    present: bytes
    previous: bytes | None = None
    previous_until: datetime | None = None


def of_failover(*, webhook_id: str | uuid.UUID) -> uuid.UUID:
    """The endpoint of a webhook's failover URL: its trouble and its pace are its own."""
    return uuid.uuid5(_NAMESPACE, f"failover:{webhook_id}")


def of_host(*, tenant_id: int, url: str) -> uuid.UUID:
    """The endpoint of a message's callbackUrl: one a tenant and host, so that one host's trouble is its own."""
    try:
        host = urlsplit(url).netloc.lower()
    except ValueError:
        host = url
    return _of_host(tenant_id, host)


@lru_cache(maxsize=4096)
def _of_host(tenant_id: int, host: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"{tenant_id}:{host}")


@lru_cache(maxsize=2048)
def of_webhook(row: WebhookRow, *, diverted: bool = False, also_sign: Signer | None = None) -> Destination:
    """Where and how a webhook's callbacks go; the row itself is the key, so a changed one is read anew.

    ``diverted``: to its failover URL, if it has one still.

    Raises:
        InvalidTarget: its URL or a header cannot be used.
    """
    url = row.failover_url if diverted and row.failover_url is not None else row.url
    headers = msgspec.json.decode(row.headers)
    plan = plans.read(
        format=row.format,
        encoding=row.encoding,
        method=row.method,
        headers=headers,
        template=row.template,
        url=url,
    )
    batched = row.batch_max_events is not None and (plan is None or plan.is_json_object)
    until = row.previous_secret_until
    return Destination(
        target=targets.read(url=url, method=row.method, headers=headers),
        secret=_webhook_key(row.secret),
        webhook_id=row.id,
        previous_secret=None if row.previous_secret is None else _webhook_key(row.previous_secret),
        previous_until=0.0 if until is None else until.timestamp(),
        deadline=_deadline(row),
        policy=_policy(row),
        content_type=encodings.CONTENT_TYPES[row.encoding],
        format=row.format,
        batch_events=(row.batch_max_events or 1) if batched else 1,
        batch_seconds=(row.batch_max_delay_ms or 0) / 1000 if batched else 0.0,
        has_failover=row.failover_url is not None,
        also_sign=also_sign,
        plan=plan,
    )


def _deadline(row: WebhookRow) -> float:
    deadline = DEFAULT_DEADLINE if row.read_timeout is None else row.read_timeout / 1000
    return min(deadline, octopush.DEADLINE) if row.format == OCTOPUSH else deadline


def _policy(row: WebhookRow) -> Policy:
    if row.retries is None:
        return backoff.EXPONENTIAL
    return Policy(row.retries, row.retry_delay or backoff.DEFAULT_RETRY_DELAY)


def _webhook_key(sealed: bytes) -> bytes:
    return signing.key(sealing.open_(sealed, context=sealing.CONTEXT_WEBHOOK_SECRET).decode())


@lru_cache(maxsize=4096)
def of_url(*, url: str, secrets: CallbackSecrets) -> Destination:
    """Where and how callbacks to a message's callbackUrl go: POST, signed with the tenant's callback secrets.

    Raises:
        InvalidTarget: the URL cannot be used.
    """
    previous, until = secrets.previous, secrets.previous_until
    return Destination(
        target=_url_target(url),
        secret=_callback_key(secrets.present),
        previous_secret=None if previous is None else _callback_key(previous),
        previous_until=0.0 if until is None else until.timestamp(),
    )


@lru_cache(maxsize=4096)
def _url_target(url: str) -> Target:
    return targets.read(url=url)


@lru_cache(maxsize=1024)
def _callback_key(sealed: bytes) -> bytes:
    return signing.key(sealing.open_(sealed, context=sealing.CONTEXT_TENANT_CALLBACK).decode())
