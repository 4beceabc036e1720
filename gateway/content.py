"""From what a tenant asks to be shown to what is shown on a channel."""

from typing import Any, NamedTuple

from gateway import errors, templates, text
from gateway.errors import Detail

# Each channel's longest text, in characters.
LONGEST = {"sms": 1600, "whatsapp": 4096, "rcs": 3072}


class Resolved(NamedTuple):
    """``text`` is what the handset shows, ``content`` the template or media that was asked for.

    ``encoding`` is that of an SMS, ``parts`` how many the operator counts.
    """

    text: str | None
    content: dict[str, Any] | None
    encoding: str | None
    parts: int


def resolve(*, tenant_id: int, channel: str, content: dict[str, Any]) -> Resolved:
    """What a content, valid in its form, becomes on a channel.

    Raises:
        errors.Problem: the template cannot be sent (see :func:`gateway.templates.render`), or makes a text that is
            too long or empty. ``details`` name members of the content.
    """
    if content.get("media") is not None:
        return Resolved(None, {"media": content["media"]}, None, 1)
    asked = content.get("template")
    if asked is None:
        return _shown(content["text"], None, channel)
    try:
        shown = templates.render(
            tenant_id=tenant_id,
            name=asked["name"],
            language=asked.get("language"),
            channel=channel,
            variables=asked.get("variables") or {},
        )
    except errors.Problem as problem:
        below = [detail._replace(field=f"template.{detail.field}") for detail in problem.details]
        raise type(problem)(details=below or [Detail("template", problem.code, problem.message)]) from problem
    if not shown:
        raise errors.Invalid(
            details=[Detail("template", "INVALID_LENGTH", "The template makes an empty text.")]
        )
    if len(shown) > LONGEST[channel]:
        about = f"The template makes more than {LONGEST[channel]:,} characters."
        raise errors.TextTooLong(details=[Detail("template", errors.TextTooLong.code, about)])
    return _shown(shown, {"template": asked}, channel)


def _shown(shown: str, content: dict[str, Any] | None, channel: str) -> Resolved:
    encoding, parts = text.analyse(shown) if channel == "sms" else (None, 1)
    return Resolved(shown, content, encoding, parts)
