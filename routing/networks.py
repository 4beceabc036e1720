"""Which mobile network a number belongs to, as far as the platform's operator has told: ranges of numbers by prefix.

Ported numbers are not known here: for those a lookup at an operator would be needed.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from django.db import transaction

from routing.models import NetworkRange

_COLUMNS = ("prefix", "mcc", "mnc")
_BATCH = 5_000
_MOST = 2_000_000


class Ranges:
    """Networks (MCC and MNC in one) by prefix."""

    def __init__(self, networks: Mapping[str, str]) -> None:
        self._networks = networks
        self._lengths = sorted({len(prefix) for prefix in networks}, reverse=True)
        # The digits that tell one range from another.
        self.depth = self._lengths[0] if self._lengths else 0

    def network(self, digits: str) -> str:
        """The network of the longest prefix that fits; empty when none does."""
        for length in self._lengths:
            found = self._networks.get(digits[:length])
            if found is not None:
                return found
        return ""


NONE = Ranges({})


def read() -> Ranges:
    """All that are stored."""
    rows = NetworkRange.objects.values_list("prefix", "mcc", "mnc")
    return Ranges({prefix: mcc + mnc for prefix, mcc, mnc in rows.iterator(chunk_size=_BATCH)})


class ImportRefused(ValueError):
    """The file cannot be taken; the text names the line and the column. Nothing was changed."""


def load(*, path: Path) -> int:
    """Replace all ranges by those of a CSV file with the columns ``prefix``, ``mcc`` and ``mnc``.

    Returns:
        How many there are now.

    Raises:
        ImportRefused: the file cannot be read, or a line of it is wrong.
    """
    rows = _rows(path)
    with transaction.atomic():
        NetworkRange.objects.all().delete()
        NetworkRange.objects.bulk_create(rows, batch_size=_BATCH)
    return len(rows)


def _rows(path: Path) -> list[NetworkRange]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parsed(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImportRefused(f"{path} cannot be read: {error}") from error


def _parsed(lines: "csv.DictReader[str]") -> list[NetworkRange]:
    missing = [name for name in _COLUMNS if name not in (lines.fieldnames or ())]
    if missing:
        raise ImportRefused(
            f"the column {missing[0]!r} is missing: the first line must name prefix, mcc and mnc"
        )
    rows: dict[str, NetworkRange] = {}
    for line in lines:
        row = _row(line, lines.line_num)
        if row.prefix in rows:
            raise ImportRefused(f"line {lines.line_num}: the prefix {row.prefix} is there twice")
        if len(rows) >= _MOST:
            raise ImportRefused(f"there are more than {_MOST} lines")
        rows[row.prefix] = row
    return list(rows.values())


def _row(line: Mapping[str, str | None], number: int) -> NetworkRange:
    prefix, mcc, mnc = ((line[name] or "").strip() for name in _COLUMNS)
    prefix = prefix.removeprefix("+")
    for name, text, least, most in (("prefix", prefix, 1, 15), ("mcc", mcc, 3, 3), ("mnc", mnc, 2, 3)):
        if not _is_digits(text, least, most):
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise ImportRefused(f"line {number}: {name} must be {wanted} digits, not {text!r}")
    return NetworkRange(prefix=prefix, mcc=mcc, mnc=mnc)


def _is_digits(text: str, least: int, most: int) -> bool:
    return text.isascii() and text.isdigit() and least <= len(text) <= most
