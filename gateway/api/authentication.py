"""Who calls, and whether the key may.

One credential, five spellings: ``Authorization: Bearer <apiKey>``, ``x-api-key: <apiKey>``, ``Authorization:
x-api-key: <apiKey>`` (also without the second colon), ``Authorization: Basic base64(apiKey:apiSecret)``, and
``Authorization: hmac …`` (:mod:`gateway.signatures`). Whatever is wrong, the answer is the same 401.
"""

import base64
import binascii
import math
import re
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from gateway import errors, keys, signatures, throttling
from gateway.api import parsing
from gateway.errors import Detail
from gateway.keys import Credential

DEVELOPER_MODE = "x-developer-mode"

# How clients escape what a path may have unescaped: not at all, like Python's quote, like JavaScript's
# encodeURIComponent.
_UNESCAPED = ("/!$&'()*+,;=:@-._~", "/-._~", "/!'()*-._~")
_origin = re.compile(r"[a-z][a-z0-9+.-]*://[^/?]*", re.IGNORECASE)
# An address as proxies write it: with a port, in brackets, or bare.
_hop = re.compile(r"\[([^\]]+)\](?::\d+)?|([^:]+)(?::\d+)?|(.+)")


class KeyAuthentication(BaseAuthentication):
    """Sets ``request.user`` and ``request.auth`` to the :class:`gateway.keys.Credential`."""

    def authenticate(self, request: Request) -> tuple[Credential, Credential]:
        credential = _sign_in(request._request)
        if credential is None:
            raise errors.Unauthenticated
        if credential.networks and not credential.allows(client_address(request._request)):
            raise errors.AddressNotAllowed
        return credential, credential

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="trunkline"'


class HasPermission(BasePermission):
    """The view names what a method takes: ``permissions = {"POST": "messages:send"}``, or one ``permission``."""

    def has_permission(self, request: Request, view: Any) -> bool:
        needed = getattr(view, "permissions", {}).get(request.method, getattr(view, "permission", None))
        caller = request.auth
        assert isinstance(caller, Credential)
        if needed is not None and needed not in caller.permissions:
            detail = Detail("", "PERMISSION_MISSING", f"The key needs the permission {needed}.")
            raise errors.PermissionDenied(details=[detail])
        return True


def throttle(credential: Credential, headers: dict[str, str]) -> None:
    """Count a request against its key's rate, and say in ``headers`` where that stands.

    Raises:
        errors.RateLimited: it is used up.
    """
    if credential.rate is None:
        return
    standing = throttling.take(key_id=credential.key_id, rate=credential.rate, burst=credential.burst)
    headers["RateLimit-Limit"] = str(standing.limit)
    headers["RateLimit-Remaining"] = str(standing.remaining)
    headers["RateLimit-Reset"] = str(standing.reset)
    if standing.wait is not None:
        raise errors.RateLimited(retry_after=max(1, math.ceil(standing.wait)))


def in_mode(request: HttpRequest, credential: Credential) -> Credential:
    """The credential, or in developer mode its sandbox form.

    Raises:
        errors.Invalid: the header says neither true nor false.
    """
    given = request.META.get("HTTP_X_DEVELOPER_MODE")
    if given is None:
        return credential
    mode = given.strip().lower()
    if mode not in {"true", "false"}:
        message = "Must be true or false."
        raise errors.Invalid(
            f"{DEVELOPER_MODE}: {message}", details=[Detail(DEVELOPER_MODE, "INVALID_VALUE", message)]
        )
    return credential.sandbox or credential if mode == "true" else credential


def _sign_in(request: HttpRequest) -> Credential | None:
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if not header:
        return _find(request.META.get("HTTP_X_API_KEY", ""))
    scheme, _, rest = header.partition(" ")
    scheme = scheme.lower().rstrip(":")
    if scheme in {"bearer", "x-api-key"}:
        return _find(rest.strip())
    if scheme == "basic":
        return _basic(rest.strip())
    if scheme == "hmac":
        return _signed(request, rest.strip())
    return None


def _find(api_key: str) -> Credential | None:
    # What is longer cannot be a key, and is not worth a hash or a query.
    return keys.find(api_key) if 0 < len(api_key) <= 200 else None


def _basic(encoded: str) -> Credential | None:
    try:
        api_key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    credential = _find(api_key)
    good = (credential or keys.nobody()).has_secret(secret)
    return credential if good else None


def _signed(request: HttpRequest, parameters: str) -> Credential | None:
    """The key that signed the request; its body is read only when the signature is good.

    Raises:
        errors.PayloadTooLarge: the body is too large to be looked at.
    """
    signature = signatures.parse(parameters)
    if signature is None:
        return None
    credential = _find(signature.username)
    headers = _headers(request, signature.names)
    good = signatures.verifies(
        signature,
        secret=(credential or keys.nobody()).secret(),
        method=request.method or "",
        targets=_targets(request.META),
        headers=headers,
        now=time.time(),
    )
    if not good or credential is None:
        return None
    body = parsing.body(request) if parsing.has_body(request) else b""
    return credential if signatures.fits_body(signature, headers=headers, body=body) else None


def _headers(request: HttpRequest, names: Sequence[str]) -> dict[str, str]:
    """The named headers that the request has, by small name."""
    found = {}
    for name in names:
        variable = name.upper().replace("-", "_")
        prefix = "" if variable in {"CONTENT_TYPE", "CONTENT_LENGTH"} else "HTTP_"
        value = request.META.get(prefix + variable)
        if value is not None:
            found[name.lower()] = _as_sent(value)
    return found


def _as_sent(text: str) -> str:
    """What a WSGI server decoded as Latin-1, as the UTF-8 that it was."""
    return text.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def _targets(environ: dict[str, Any]) -> list[str]:
    """The request's target, path and query, as it was sent.

    A server that does not tell (granian does not) has unescaped the path: then each way to escape it.
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw:
        return [_as_sent(_origin.sub("", raw, count=1))]
    # Django has made UTF-8 of the path already.
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}".encode("utf-8", "replace")
    query = _as_sent(environ.get("QUERY_STRING", ""))
    paths = dict.fromkeys(quote(path, safe=unescaped) for unescaped in _UNESCAPED)
    return [f"{path}?{query}" for path in paths] if query else [*paths, *(f"{path}?" for path in paths)]


def client_address(request: HttpRequest) -> str:
    """The caller's address; empty when it cannot be told.

    ``X-Forwarded-For`` counts only as far as it was written by trusted proxies: from its end to the first hop that
    is none of them.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if not settings.TRUSTED_PROXIES or not forwarded.strip():
        return str(peer)
    address = _address(peer)
    for hop in reversed(forwarded.split(",")):
        if address is None or not _within(address, settings.TRUSTED_PROXIES):
            break
        address = _address(hop)
    return "" if address is None else str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address of a hop; None for what is none (``unknown``, a name, nothing)."""
    match = _hop.fullmatch(text.strip())
    if match is None:
        return None
    try:
        parsed = ip_address(match[1] or match[2] or match[3])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _within(address: IPv4Address | IPv6Address, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)
