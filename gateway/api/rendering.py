"""Answers as JSON. Nothing is added, nothing is indented."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from rest_framework.renderers import BaseRenderer

CONTENT_TYPE = "application/json"

_encoder = msgspec.json.Encoder()


class JSONRenderer(BaseRenderer):
    media_type = CONTENT_TYPE
    format = "json"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else encode(data)


def encode(data: Any) -> bytes:
    """UTF-8 JSON."""
    return _encoder.encode(data)


def stamp(at: datetime | None) -> str | None:
    """ISO 8601 in UTC with milliseconds and ``Z``; None stays None."""
    if at is None:
        return None
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"
