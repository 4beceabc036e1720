"""Templates of callbacks in Apache Velocity: a closed part of it that can neither reach out nor run on.

A reader of our own, and not the package airspeed: that one looks members up as Python attributes, and reads
``[$a([$a([$a(…`` in a time that doubles with each bracket. The tests compare the two where both apply.
"""

import contextlib
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from webhooks.velocity import tree, values
from webhooks.velocity.errors import TemplateError
from webhooks.velocity.parsing import Parser
from webhooks.velocity.reading import LONGEST
from webhooks.velocity.tree import Frame, Node, Reference
from webhooks.velocity.values import List, Map, Record, Value

__all__ = [
    "VARIABLES", "List", "Map", "Record", "Template", "TemplateError", "Url", "Value", "check", "check_url", "read",
    "read_url", "render",
]  # fmt: skip

# What a webhook's template and URL can refer to (contract §4; the last line is our own).
VARIABLES = frozenset(
    {
        "format", "type", "mtId", "messageId", "drId", "reportId", "moId", "replyId", "notificationId", "accountId",
        "vendorId", "submittedTimestamp", "receivedTimestamp", "status", "statusCode", "metadata", "sourceAddress",
        "destinationAddress", "mtContent", "messageContent", "moContent", "replyContent", "retryCount",
        "billingUnits", "attachments", "esc",
        "eventId", "eventType", "clientMessageId", "errorCode",
    }
)  # fmt: skip
# Characters of a URL with its references filled in.
LONGEST_URL = 16 * 1024
# What stands before a URL's path or query.
_AUTHORITY = re.compile(r"https?://[^/?#\\]+[/?]", re.IGNORECASE)


class Template:
    """A body. ``roots``: the names that it refers to."""

    __slots__ = ("_nodes", "roots")

    def __init__(self, nodes: list[Node], roots: frozenset[str]) -> None:
        self._nodes = nodes
        self.roots = roots

    def render(self, variables: Mapping[str, Value]) -> str:
        """The body; a variable that is not given, or is None, is undefined.

        Raises:
            TemplateError: it takes too long or becomes too long.
        """
        frame = Frame(variables)
        with contextlib.suppress(tree.Stop):
            tree.write_all(self._nodes, frame)
        return "".join(frame.written)


class Url:
    """A URL with references in path or query. ``roots``: the names that it refers to."""

    __slots__ = ("_parts", "roots")

    def __init__(self, parts: list[Node], roots: frozenset[str]) -> None:
        self._parts = parts
        self.roots = roots

    def render(self, variables: Mapping[str, Value]) -> str:
        """The URL, each value percent-encoded; what ``$esc.url`` gives already is.

        Raises:
            TemplateError: it takes too long or becomes too long.
        """
        frame = Frame(variables)
        for part in self._parts:
            frame.spend()
            if not isinstance(part, Reference):
                part.write(frame)
            elif (value := part.value(frame)) is not None:
                text = values.text(value)
                frame.write(
                    text if part.source.lstrip("$!{").startswith("esc.url(") else quote(text, safe="")
                )
            elif not part.quiet:
                frame.write(part.source)
        if frame.size > LONGEST_URL:
            raise TemplateError(
                f"the URL has more than {LONGEST_URL // 1024} KiB with its references filled in"
            )
        return "".join(frame.written)


def check(template: str) -> None:
    """Raises TemplateError unless it can be a webhook's template."""
    _storable(template)
    read(template)


def check_url(url: str) -> None:
    """Raises TemplateError unless the references in a URL, if any, are ones that it may have."""
    _storable(url)
    read_url(url)


def render(template: str, variables: Mapping[str, Value]) -> str:
    """What a template gives; see :meth:`Template.render`.

    Raises:
        TemplateError: it is not one that :func:`check` lets pass, takes too long or becomes too long.
    """
    return read(template).render(variables)


@lru_cache(maxsize=256)
def read(template: str) -> Template:
    """The template, read once.

    Raises:
        TemplateError: it is not a template, or one that may not be used.
    """
    nodes, roots = _parsed(template)
    return Template(nodes, roots)


@lru_cache(maxsize=1024)
def read_url(url: str) -> Url | None:
    """The URL, read once; None for one without references, which is what it is.

    Raises:
        TemplateError: a reference is none that may be used, or stands before path and query.
    """
    if "$" not in url:
        return None
    nodes, roots = _parsed(url, directives=False)
    known = roots & VARIABLES
    if not known:
        return None
    begin = _AUTHORITY.match(url)
    first = min(url.find(node.source) for node in nodes if isinstance(node, Reference) and node.root in known)
    if begin is None or first < begin.end():
        raise TemplateError("references may stand in the path and the query only")
    return Url(nodes, known)


def _parsed(text: str, *, directives: bool = True) -> tuple[list[Node], frozenset[str]]:
    if len(text) > LONGEST:
        raise TemplateError(f"the template has more than {LONGEST:,} characters")
    parser = Parser(text, directives=directives)
    nodes = parser.whole()
    return nodes, frozenset(parser.roots)


def _storable(text: str) -> None:
    """Raises TemplateError: the text cannot be stored, or not be sent."""
    if "\x00" in text:
        raise TemplateError("the text has a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TemplateError("the text has half of a surrogate pair") from error
