"""Requests signed with a key's secret: ``Authorization: hmac username=…, algorithm=…, headers=…, signature=…``.

The signing string is a line for each listed name, in order, joined by LF: ``request-line`` stands for ``METHOD
target HTTP/1.1``, any other name for itself as it was listed, a colon, a space and the header's value (the contract's
section 7). Nothing here reads a clock or a request.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from django.utils.http import parse_http_date

# Seconds that the Date may be off, either way.
SKEW: Final = 300
_REQUEST_LINE: Final = "request-line"
_DIGESTS: Final = frozenset({"content-md5", "x-content-md5"})
_ALGORITHMS: Final = {"hmac-sha1": "sha1", "hmac-sha256": "sha256"}

_parameter = re.compile(r'\s*([a-z]+)\s*=\s*"([^"]*)"\s*(?:,|\Z)')
_name = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Signature(NamedTuple):
    """A signed credential as it was sent: ``names`` as listed, ``algorithm`` by hashlib's name."""

    username: str
    algorithm: str
    names: tuple[str, ...]
    digest: bytes

    @property
    def covers_body(self) -> bool:
        """Whether a header with the body's MD5 is among the names."""
        return any(name.lower() in _DIGESTS for name in self.names)


def parse(parameters: str) -> Signature | None:
    """The four parameters behind ``hmac``, in any order; None when they are not those, or make no sense.

    Date and request-line must be among the names, and no name twice.
    """
    given = _parameters(parameters)
    if given is None or given.keys() != {"username", "algorithm", "headers", "signature"}:
        return None
    algorithm = _ALGORITHMS.get(given["algorithm"])
    names = tuple(given["headers"].split())
    lowered = {name.lower() for name in names}
    if algorithm is None or len(lowered) != len(names) or not {"date", _REQUEST_LINE} <= lowered:
        return None
    if not all(_name.fullmatch(name) for name in names):
        return None
    try:
        digest = base64.b64decode(given["signature"], validate=True)
    except (binascii.Error, ValueError):
        return None
    return Signature(given["username"], algorithm, names, digest)


def _parameters(text: str) -> dict[str, str] | None:
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = _parameter.match(text, place)
        if match is None or match[1] in found:
            return None
        found[match[1]] = match[2]
        place = match.end()
    return found


def verifies(
    signature: Signature,
    *,
    secret: bytes,
    method: str,
    targets: Sequence[str],
    headers: Mapping[str, str],
    now: float,
) -> bool:
    """Whether the secret made the signature, for one of the spellings of the request's target, at about this time.

    ``headers`` has the signed ones by small name; ``now`` is seconds since the epoch. All spellings are tried,
    whichever fits.
    """
    if not _is_recent(headers.get("date", ""), now):
        return False
    if any(name.lower() not in headers for name in signature.names if name.lower() != _REQUEST_LINE):
        return False
    good = False
    for target in targets:
        lines = (_line(name, f"{method} {target} HTTP/1.1", headers) for name in signature.names)
        text = "\n".join(lines).encode("utf-8", "surrogateescape")
        made = hmac.digest(secret, text, signature.algorithm)
        good |= hmac.compare_digest(made, signature.digest)
    return good


def _is_recent(date: str, now: float) -> bool:
    try:
        return abs(parse_http_date(date) - now) <= SKEW
    except ValueError:
        return False


def _line(name: str, request_line: str, headers: Mapping[str, str]) -> str:
    lowered = name.lower()
    return request_line if lowered == _REQUEST_LINE else f"{name}: {headers[lowered]}"


def fits_body(signature: Signature, *, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether every signed MD5 (hex, in either case) is the body's; a body needs at least one."""
    if not signature.covers_body:
        return not body
    made = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return all(
        hmac.compare_digest(made.encode(), headers[name.lower()].strip().lower().encode("utf-8", "replace"))
        for name in signature.names
        if name.lower() in _DIGESTS
    )
