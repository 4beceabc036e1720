"""A message as RCS shows it. Pure. Source: Google's reference of the RCS for Business API, "AgentContentMessage"."""

from typing import Any

from routing.contract import Outbound
from routing.transports.http_engine import UnsendableError

MOST_SUGGESTIONS = 11
LONGEST_TEXT = 3072
# Cards show these only; of PDF not everywhere.
_CARDS = frozenset({"image", "video"})


def of(message: Outbound, *, suggestions: list[Any]) -> dict[str, Any]:
    """The ``contentMessage`` of a message, with what is offered below it.

    Raises:
        UnsendableError: it has neither text nor media, or a text that is too long.
    """
    offered = {"suggestions": suggestions} if suggestions else {}
    media = (message.content or {}).get("media")
    if media is not None:
        return _media(media) | offered
    if not message.text:
        raise UnsendableError("the message has neither text nor media")
    if len(message.text) > LONGEST_TEXT:
        raise UnsendableError(f"the text has more than {LONGEST_TEXT:,} characters")
    return {"text": message.text} | offered


def _media(media: dict[str, Any]) -> dict[str, Any]:
    url = media.get("url")
    if not url:
        raise UnsendableError("the media has no url, and RCS takes nothing else")
    file = {"fileUrl": url}
    caption = media.get("caption")
    if not caption or media["type"] not in _CARDS:
        return {"contentInfo": file}
    card = {"description": caption, "media": {"height": "TALL", "contentInfo": file}}
    return {"richCard": {"standaloneCard": {"cardOrientation": "VERTICAL", "cardContent": card}}}
