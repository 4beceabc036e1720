"""Rows that come by the thousand: what an import takes at most, and CSV as rows.

CSV is a header row with the names of members, then a row each; ``,`` or ``;`` between the cells, quotes as in
RFC 4180. An empty cell is a member that is not given.
"""

import csv
import io
from collections.abc import Collection
from typing import Any

from gateway import errors
from gateway.errors import Detail

LARGEST = 10_000
CUSTOM = "customFields."

Row = dict[str, Any]


class AllRowsInvalid(errors.AllInvalid):
    code = "ALL_ROWS_INVALID"
    message = "None of the rows is valid; see results."
    action = "Correct each row as its result says; nothing was imported."


def too_large(field: str) -> errors.Problem:
    """What to say of more rows than an import takes."""
    detail = Detail(field, "TOO_MANY", f"At most {LARGEST:,} rows.")
    return errors.BatchTooLarge(
        f"An import takes at most {LARGEST:,} rows; nothing was imported.", details=[detail]
    )


def table(text: str, *, columns: Collection[str], custom: bool = False) -> list[Row]:
    """The rows of a CSV text, members by name: ``tags`` is a list, ``customFields.<name>`` gathers in an object.

    ``columns`` are those that there may be; ``custom`` allows the custom fields too.

    Raises:
        errors.MalformedBody: it is not CSV, or a row has more cells than the header.
        errors.Invalid: a column is unknown, occurs twice, or there is none for the phone.
        errors.BatchTooLarge: there are too many rows.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    rows: list[Row] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check(header, columns, custom=custom)
        for cells in reader:
            if len(cells) > len(header):
                raise errors.MalformedBody(f"Line {reader.line_num} has more cells than the header.")
            if cells:
                rows.append(_row(header, cells))
            if len(rows) > LARGEST:
                raise too_large("")
    except csv.Error as error:
        raise errors.MalformedBody(f"The body is not CSV: {error}, at line {reader.line_num}.") from error
    return rows


def _delimiter(text: str) -> str:
    """What the header has more of."""
    header = text.lstrip("\r\n").partition("\n")[0]
    return ";" if header.count(";") > header.count(",") else ","


def _check(header: list[str], columns: Collection[str], *, custom: bool) -> None:
    faults = []
    for place, name in enumerate(header):
        if name not in columns and not (custom and name.startswith(CUSTOM)):
            faults.append(Detail(name[:80], "UNKNOWN_MEMBER", "There is no such column."))
        elif name in header[:place]:
            faults.append(Detail(name[:80], "INVALID_VALUE", "The column occurs twice."))
        if len(faults) == 20:
            break
    if "phone" not in header and "to" not in header:
        faults.append(Detail("phone", "REQUIRED", "The first line must name this column."))
    if faults:
        raise errors.Invalid("The columns are not valid; see details.", details=faults)


def _row(header: list[str], cells: list[str]) -> Row:
    row: Row = {}
    for name, cell in zip(header, cells, strict=False):
        if not cell:
            continue
        if name.startswith(CUSTOM):
            row.setdefault("customFields", {})[name.removeprefix(CUSTOM)] = cell
        elif name == "tags":
            row["tags"] = [tag for part in cell.split(";") if (tag := part.strip())]
        else:
            row[name] = cell
    return row
