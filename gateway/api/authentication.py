"""Who calls, and whether the key may.

One credential, four spellings: ``Authorization: Bearer <apiKey>``, ``x-api-key: <apiKey>``, ``Authorization:
x-api-key: <apiKey>`` (also without the second colon), ``Authorization: Basic base64(apiKey:apiSecret)``. Whatever is
wrong, the answer is the same 401.
"""

import base64
import binascii
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from gateway import errors, keys
from gateway.errors import Detail
from gateway.keys import Credential


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
    if credential is None or not credential.has_secret(secret):
        return None
    return credential


def client_address(request: HttpRequest) -> str:
    """The caller's address. ``X-Forwarded-For`` counts only as far as it was written by trusted proxies."""
    address: str = request.META.get("REMOTE_ADDR", "")
    proxies = settings.TRUSTED_PROXIES
    if not proxies:
        return address
    for hop in reversed(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        if not hop.strip() or not _within(address, proxies):
            break
        address = hop.strip()
    return address


def _within(address: str, networks: Any) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
