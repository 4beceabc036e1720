"""API keys: issued once in the clear, found by a keyed fingerprint, their secret sealed.

Finding one costs no query while what was read last is fresh: 2 s for a key that is good, so that a revocation
holds in every process well within 5 s; 1 s for one that is not.
"""

import functools
import hmac
import math
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.db import connection, transaction

from gateway import sealing
from gateway.models import ApiKey, Tenant
from gateway.models.api_key import PERMISSIONS
from gateway.models.tenant import sandbox_of

PREFIX = "tl_live_"
# Characters of a key that lists show.
SHOWN = 16
# Seconds that an answer of the database is believed.
_GOOD_FOR, _BAD_FOR = 2.0, 1.0
# Entries kept; beyond that the cache starts anew, so that guessing keys cannot fill the memory.
_ROOM = 20_000
# Requests per second that a key may have; requests at once.
_SLOWEST, _FASTEST = 0.001, 1_000_000.0
_LARGEST_BURST = 1_000_000
# Seconds between two notes of a key's use.
_USE_NOTED_EVERY = 60.0


class IssueError(ValueError):
    """An argument that a key cannot be issued or revoked with; the text says which."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A key that is good now, and what of its tenant a request needs.

    ``rate`` is requests per second, the platform's default filled in; None is no limit. ``sandbox`` is the same key
    in developer mode, with the sandbox for its tenant; there it is None.
    """

    key_id: int
    tenant_id: int
    permissions: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]
    rate: float | None
    burst: int
    backlog_limit: int | None
    sealed_secret: bytes
    # Seconds since the epoch.
    expires_at: float | None
    sandbox: "Credential | None" = field(default=None, repr=False)

    def allows(self, address: str) -> bool:
        """Whether the key may be used from an address; an empty list allows every one."""
        if not self.networks:
            return True
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self.networks)

    def secret(self) -> bytes:
        return sealing.open_(self.sealed_secret, context=sealing.CONTEXT_KEY_SECRET)

    def has_secret(self, secret: str) -> bool:
        """Whether ``secret`` is the key's, in the same time whatever it is."""
        return hmac.compare_digest(self.secret(), secret.encode("utf-8", "surrogatepass"))


def nobody() -> Credential:
    """A stand-in for a key that is not found: to refuse it takes as long as to refuse a wrong secret."""
    return _nobody(tuple(settings.ENCRYPTION_KEYS))


@functools.cache
def _nobody(_sealed_under: tuple[bytes, ...]) -> Credential:
    sealed = sealing.seal(_new_secret().encode(), context=sealing.CONTEXT_KEY_SECRET)
    return _credential(0, 0, [], [], None, None, None, sealed, None)


def _new_secret() -> str:
    return secrets.token_urlsafe(36)


def fingerprint(api_key: str) -> bytes:
    """HMAC-SHA256 of the key under ``settings.FINGERPRINT_KEY``."""
    return _digest(settings.FINGERPRINT_KEY, api_key)


@functools.lru_cache(maxsize=2048)
def _digest(key: bytes, api_key: str) -> bytes:
    # A twentieth of a request's work, for keys that come again and again.
    return hmac.digest(key, api_key.encode("utf-8", "surrogatepass"), "sha256")


def issue(
    *,
    tenant: Tenant,
    name: str,
    permissions: Sequence[str] = (),
    allowed_networks: Sequence[str] = (),
    rate: float | None = None,
    burst: int | None = None,
    expires_at: datetime | None = None,
) -> tuple[str, str]:
    """Make a key; returns ``(apiKey, apiSecret)``, which nothing can show again.

    No permissions given means all of them.

    Raises:
        IssueError: for a name that is empty, too long or in use, an unknown permission, a malformed network, a rate
            or burst that is none, an expiry in the past.
    """
    check_name(name)
    check(permissions=permissions, rate=rate, burst=burst, expires_at=expires_at)
    networks = [_network(text) for text in allowed_networks]
    api_key, api_secret = PREFIX + secrets.token_urlsafe(30), _new_secret()
    with transaction.atomic():
        if ApiKey.objects.filter(tenant=tenant, name=name).exists():
            raise IssueError(f"the tenant has a key named {name!r} already")
        ApiKey.objects.create(
            tenant=tenant,
            name=name,
            fingerprint=fingerprint(api_key),
            prefix=api_key[:SHOWN],
            secret=sealing.seal(api_secret.encode(), context=sealing.CONTEXT_KEY_SECRET),
            permissions=sorted(set(permissions)) or list(PERMISSIONS),
            allowed_networks=networks,
            rate=rate,
            burst=burst,
            expires_at=expires_at,
        )
    return api_key, api_secret


def check_name(name: str) -> None:
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise IssueError("the name must be 1 to 200 printable characters")


def check(
    *, permissions: Sequence[str], rate: float | None, burst: int | None, expires_at: datetime | None
) -> None:
    unknown = sorted(set(permissions) - set(PERMISSIONS))
    if unknown:
        raise IssueError(f"no such permission: {', '.join(unknown)} (there are: {', '.join(PERMISSIONS)})")
    if rate is not None and not _SLOWEST <= rate <= _FASTEST:
        raise IssueError(f"the rate must be {_SLOWEST} to {_FASTEST:,.0f} requests per second")
    if burst is not None and not 1 <= burst <= _LARGEST_BURST:
        raise IssueError(f"the burst must be 1 to {_LARGEST_BURST:,} requests")
    if burst is not None and rate is None:
        raise IssueError("a burst needs a rate")
    if expires_at is not None and expires_at <= datetime.now(tz=UTC):
        raise IssueError("the key would have expired already")


def _network(text: str) -> str:
    try:
        return str(ip_network(text.strip()))
    except ValueError as error:
        raise IssueError(f"not an address range: {error}") from error


def revoke(*, key: ApiKey, now: datetime) -> None:
    """End a key; other processes stop taking it within 2 s, this one at once. Again does nothing."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
    forget()


def find(api_key: str) -> Credential | None:
    """The credential of a key that is known, not revoked, not expired, and whose tenant is active."""
    digest = fingerprint(api_key)
    now = time.monotonic()
    kept = _cache.get(digest)
    if kept is None or now >= kept[0]:
        kept = _look_up(digest, now)
    credential = kept[1]
    if credential is None:
        return None
    if credential.expires_at is not None and time.time() >= credential.expires_at:
        return None
    _note_use(credential.key_id, now)
    return credential


def forget() -> None:
    """Drop what is kept: the next look asks the database."""
    _cache.clear()


_cache: dict[bytes, tuple[float, Credential | None]] = {}

_FIND = """
SELECT k.id, k.tenant_id, k.permissions, k.allowed_networks, k.rate, k.burst, t.backlog_limit, k.secret,
       extract(epoch FROM k.expires_at)::float8
FROM gateway_apikey k JOIN gateway_tenant t ON t.id = k.tenant_id
WHERE k.fingerprint = %s AND k.revoked_at IS NULL AND t.active
"""


def _look_up(digest: bytes, now: float) -> tuple[float, Credential | None]:
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [digest])
        row = cursor.fetchone()
    if len(_cache) >= _ROOM:
        _cache.clear()
    entry = (now + (_GOOD_FOR if row else _BAD_FOR), _credential(*row) if row else None)
    _cache[digest] = entry
    return entry


def _credential(
    key_id: int,
    tenant_id: int,
    permissions: list[str],
    networks: list[str],
    rate: float | None,
    burst: int | None,
    backlog_limit: int | None,
    secret: bytes,
    expires_at: float | None,
) -> Credential:
    allowed, at_once = _limits(rate, burst)
    production = Credential(
        key_id=key_id,
        tenant_id=tenant_id,
        permissions=frozenset(permissions),
        networks=tuple(ip_network(text) for text in networks),
        rate=allowed,
        burst=at_once,
        backlog_limit=backlog_limit,
        sealed_secret=bytes(secret),
        expires_at=expires_at,
    )
    return replace(production, sandbox=replace(production, tenant_id=sandbox_of(tenant_id)))


def _limits(rate: float | None, burst: int | None) -> tuple[float | None, int]:
    """Requests per second (None: no limit) and at once: the key's own, else the platform's; each within bounds."""
    if rate is None:
        if not settings.KEY_RATE:
            return None, 1
        rate, burst = settings.KEY_RATE, settings.KEY_BURST
    rate = min(max(rate, _SLOWEST), _FASTEST)
    return rate, min(burst or math.ceil(rate), _LARGEST_BURST)


_uses_lock = threading.Lock()
_noted: dict[int, float] = {}
_unwritten: set[int] = set()


def _note_use(key_id: int, now: float) -> None:
    """Remember that a key was used, and have it written by another thread if that is due."""
    if now - _noted.get(key_id, -_USE_NOTED_EVERY) < _USE_NOTED_EVERY:
        return
    with _uses_lock:
        _noted[key_id] = now
        first = not _unwritten
        _unwritten.add(key_id)
    if first:
        _write_uses_soon()


def _write_uses_soon() -> None:
    timer = threading.Timer(1.0, _write_uses_and_close)
    timer.daemon = True
    timer.start()


def _write_uses_and_close() -> None:
    try:
        write_uses(now=datetime.now(tz=UTC))
    finally:
        connection.close()


def write_uses(*, now: datetime) -> int:
    """Write ``last_used_at`` of the keys used since the last call; returns how many rows changed.

    A key that another process wrote within the minute is left alone.
    """
    with _uses_lock:
        used = list(_unwritten)
        _unwritten.clear()
    stale = now - timedelta(seconds=_USE_NOTED_EVERY - 1)
    return ApiKey.objects.filter(pk__in=used).exclude(last_used_at__gt=stale).update(last_used_at=now)
