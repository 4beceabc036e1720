"""What the imports share: reading their rows from JSON or CSV, and a result for each row."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from gateway import errors, imports
from gateway.api import parsing
from gateway.api.errors import body as error_body
from gateway.api.fields import Members
from gateway.api.views import StrictRequest
from gateway.errors import Detail, Problem
from gateway.imports import AllRowsInvalid

_csv_type = re.compile(
    r"text/csv\s*(?:;\s*(?:charset\s*=\s*\"?utf-8\"?|header\s*=\s*present)\s*)*;?\s*", re.IGNORECASE
)


def is_csv(request: StrictRequest) -> bool:
    return (request.META.get("CONTENT_TYPE") or "").lower().startswith("text/csv")


def csv_rows(request: StrictRequest, *, columns: Collection[str], custom: bool = False) -> list[imports.Row]:
    """The rows of a CSV body.

    Raises:
        errors.Problem: as :func:`gateway.imports.table`; also for a body that is too large, not UTF-8, compressed,
            or without rows.
    """
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity")
    if not _csv_type.fullmatch(request.META["CONTENT_TYPE"]) or encoding != "identity":
        raise errors.UnsupportedMediaType("The body must be text/csv or application/json in UTF-8.")
    body = parsing.body(request._request)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.MalformedBody(f"The body is not UTF-8, at byte {error.start}.") from error
    if "\0" in text:
        raise errors.MalformedBody("The body has NUL, which cannot be stored.")
    rows = imports.table(text, columns=columns, custom=custom)
    if not rows:
        raise errors.Invalid("There are no rows after the header.")
    return rows


def json_rows(members: Members, name: str) -> list[Any]:
    """The rows of a JSON body, in the member ``name``.

    Raises:
        errors.BatchTooLarge: there are too many.
    """
    rows = members.value(name)
    if type(rows) is not list or not rows:
        members.fault(name, "REQUIRED", f"An array of 1 to {imports.LARGEST:,} rows.")
        return []
    if len(rows) > imports.LARGEST:
        raise imports.too_large(name)
    return rows


class Rows:
    """The rows of one call: those that are valid, and the answer about all of them."""

    def __init__(self, rows: Sequence[Any], read: Callable[[Any], Any]) -> None:
        self.valid: list[Any] = []
        # For each row its problem; None for the valid ones, whose outcomes come in the same order.
        self._problems: list[Problem | None] = []
        for row in rows:
            try:
                self.valid.append(read(row))
            except Problem as problem:
                self._problems.append(problem)
            else:
                self._problems.append(None)

    def render(
        self, outcomes: Sequence[tuple[object, str] | Problem], statuses: Sequence[str]
    ) -> dict[str, Any]:
        """The answer: ``imported``, a count for each of ``statuses``, ``rejected``, ``results``.

        ``outcomes`` are those of the valid rows, each ``(id, status)`` or why it was refused.

        Raises:
            AllRowsInvalid: there was nothing to import; with the results.
        """
        following = iter(outcomes)
        counts = dict.fromkeys(statuses, 0)
        refused: list[tuple[int, Problem]] = []
        results: list[dict[str, Any]] = []
        for index, problem in enumerate(self._problems):
            outcome = next(following) if problem is None else problem
            if isinstance(outcome, Problem):
                refused.append((index, outcome))
                results.append({"index": index, "error": error_body(outcome)})
            else:
                key, status = outcome
                counts[status] += 1
                results.append({"index": index, "id": str(key), "status": status})
        imported = len(results) - len(refused) - counts.get("duplicate", 0)
        named = {_COUNTS[status]: count for status, count in counts.items()}
        data = {"imported": imported, **named, "rejected": len(refused), "results": results}
        if len(refused) == len(results):
            raise AllRowsInvalid(details=_details(refused[:20]), body=data)
        return data


_COUNTS = {
    "created": "created",
    "updated": "updated",
    "unchanged": "unchanged",
    "duplicate": "duplicates",
}


def _details(refused: Sequence[tuple[int, Problem]]) -> list[Detail]:
    return [
        detail._replace(field=f"[{index}].{detail.field}".rstrip("."))
        for index, problem in refused
        for detail in problem.details
    ]
