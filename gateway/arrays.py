"""PostgreSQL array literals for the hot statements.

psycopg dumps a list element by element, a few microseconds each; at seven lists a status move that is more than
the statement itself costs the server. One joined text, cast in the statement, costs a tenth.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

NULLS = "{}"


def uuids(keys: Iterable[UUID]) -> str:
    """For ``::uuid[]``."""
    return plain([key.hex for key in keys])


def plain(words: Iterable[str]) -> str:
    """Of texts that need no quotes: keys already written out, numbers."""
    return "{" + ",".join(words) + "}"


def moments(values: Iterable[datetime]) -> str:
    """For ``::timestamptz[]``. Neighbours are mostly the very same moment."""
    texts = []
    last, text = None, ""
    for value in values:
        if value is not last:
            last, text = value, f'"{value.isoformat()}"'
        texts.append(text)
    return plain(texts)


def texts(values: Sequence[str | None]) -> str:
    """For ``::text[]`` or ``::jsonb[]``. ``unnest`` pads a short list with NULL, so all of them missing is none."""
    if all(value is None for value in values):
        return NULLS
    return plain([_quoted(value) for value in values])


def numbers(values: Iterable[float]) -> str:
    """For ``::int[]`` and its kin."""
    return plain(map(str, values))


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    if value.isalnum():
        return f'"{value}"'
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
