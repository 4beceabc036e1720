"""Where a callback goes, worked out once: from a URL to an address to resolve and a request line to send. Pure."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

from webhooks.errors import InvalidTarget

# RFC 9110 §5.6.2. A name outside it, `py/repr`, runs code in a vendor's own client that lists the webhook.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# What a field value may not hold: everything that ends or confuses a header line.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
USER_AGENT = "Trunkline-Callbacks/1"
# Named by the request itself; a custom header of that name is not sent.
_OWN = frozenset(
    {
        "host", "content-length", "transfer-encoding", "connection", "content-type", "expect", "upgrade",
        "te", "trailer", "keep-alive", "proxy-connection", "date", "webhook-id", "webhook-timestamp",
        "webhook-signature", "x-messagemedia-key-id", "x-messagemedia-cipher-type", "x-messagemedia-digest-type",
        "x-messagemedia-signature",
    }
)  # fmt: skip
_SAFE = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class Target:
    """Ready to connect and to send to. ``head`` is the request up to the fields that each attempt adds."""

    host: str
    port: int
    tls: bool
    head: bytes


def read(*, url: str, method: str = "POST", headers: Mapping[str, str] | None = None) -> Target:
    """The target of an absolute http or https URL.

    Raises:
        InvalidTarget: it is not such a URL, or a header is not one that HTTP can carry.
    """
    if _CONTROL.search(url):  # the standard library drops some of them without a word
        raise InvalidTarget("the URL has control characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidTarget(f"the URL cannot be read: {error}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise InvalidTarget("the URL is not http:// or https:// with a host")
    if port == 0:
        raise InvalidTarget("the URL's port is 0")
    tls = parts.scheme == "https"
    host = _ascii_host(host)
    default = 443 if tls else 80
    shown = f"[{host}]" if ":" in host else host
    if port not in {None, default}:
        shown = f"{shown}:{port}"
    lines = [f"{method} {_path(parts)} HTTP/1.1", f"Host: {shown}"]
    lines.extend(_fields(parts, headers or {}))
    # Header values are Latin-1 on the wire where they are not ASCII (RFC 9110 §5.5 calls them opaque).
    head = "\r\n".join(lines).encode("utf-8") + b"\r\n"
    return Target(host, default if port is None else port, tls, head)


def check_header(*, name: str, value: str) -> None:
    """Raises InvalidTarget unless HTTP can carry the header as it is."""
    if not TOKEN.fullmatch(name):
        raise InvalidTarget("a header name has characters that HTTP does not allow")
    if _UNPRINTABLE.search(value):
        raise InvalidTarget("a header value has control characters")


def _ascii_host(host: str) -> str:
    if host.isascii():
        if re.search(r"[\x00-\x20\x7f\"<>\\^`{|}]", host):
            raise InvalidTarget("the URL's host is not a host name")
        # RFC 1035 §2.3.4; the IDNA codec sees to it by itself.
        if ":" not in host and not all(0 < len(label) < 64 for label in host.removesuffix(".").split(".")):
            raise InvalidTarget("the URL's host has an empty or too long part")
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise InvalidTarget("the URL's host is not a host name") from error


def _path(parts: SplitResult) -> str:
    """The path and query as they go on the wire: percent-encoding is kept, what may not stand bare is encoded."""
    path = quote(parts.path or "/", safe=_SAFE)
    return f"{path}?{quote(parts.query, safe=_SAFE)}" if parts.query else path


def _fields(parts: SplitResult, headers: Mapping[str, str]) -> list[str]:
    given = {name.lower() for name in headers}
    lines = []
    for name, value in headers.items():
        check_header(name=name, value=value)
        if name.lower() not in _OWN:
            lines.append(f"{name}: {value.strip()}")
    if parts.username and "authorization" not in given:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    if "accept" not in given:
        lines.append("Accept: */*")
    return lines
