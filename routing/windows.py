"""Hours in which a route counts: ``[{"days": [1, 2, 3], "from": "08:00", "to": "20:00", "zone": "Europe/Paris"}]``.

Days are ISO's, Monday is 1. What the wall clock of the zone shows decides, so a window keeps its hours when the
clocks change; it is shorter or longer on that day by what the day is. One whose end is before its start goes over
midnight and belongs to the day on which it starts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
EVERY_DAY = frozenset(range(1, 8))
DAY_MINUTES = 24 * 60
_MEMBERS = {"days", "from", "to", "zone"}
MOST = 50


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes of the day, the end not included."""

    days: frozenset[int]
    start: int
    end: int
    zone: ZoneInfo

    def holds(self, at: datetime) -> bool:
        return self.shows(at.astimezone(self.zone))

    def shows(self, local: datetime) -> bool:
        """Whether it holds what a wall clock shows, of whichever zone."""
        minute, day = local.hour * 60 + local.minute, local.isoweekday()
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        before = 7 if day == 1 else day - 1
        return (day in self.days and minute >= self.start) or (before in self.days and minute < self.end)


def is_open(windows: Sequence[Window], at: datetime) -> bool:
    """Whether one of them holds the moment; without any it is always."""
    return not windows or any(window.holds(at) for window in windows)


def parse(given: Any) -> tuple[Window, ...]:
    """The windows as a route has them.

    Raises:
        ValueError: they are not of the form; the text names the member.
    """
    if not isinstance(given, list) or len(given) > MOST:
        raise ValueError(f"windows must be a list of at most {MOST} objects")
    return tuple(_window(entry, f"windows[{place}]") for place, entry in enumerate(given))


def _window(entry: Any, name: str) -> Window:
    if not isinstance(entry, dict):
        raise ValueError(f"{name} must be an object with days, from, to and zone")  # noqa: TRY004
    unknown = sorted(set(entry) - _MEMBERS)
    if unknown:
        raise ValueError(f"{name} has no member {unknown[0]!r}: it takes days, from, to and zone")
    start = minutes(entry.get("from", "00:00"), f"{name}.from")
    end = minutes(entry.get("to", "24:00"), f"{name}.to")
    if start in {end, DAY_MINUTES}:
        raise ValueError(f"{name}.from must be another time than its end, and before 24:00")
    return Window(
        _days(entry.get("days"), name), start, end, zone_of(entry.get("zone", "UTC"), f"{name}.zone")
    )


def minutes(text: Any, name: str) -> int:
    """A time of day in minutes since midnight, 24:00 too; raises ValueError with the name."""
    if not isinstance(text, str) or not _CLOCK.fullmatch(text):
        raise ValueError(f"{name} must be a time of day such as 08:00")
    return int(text[:2]) * 60 + int(text[3:])


def _days(days: Any, name: str) -> frozenset[int]:
    if days is None:
        return EVERY_DAY
    if (
        not isinstance(days, list)
        or not days
        or any(type(day) is not int or not 1 <= day <= 7 for day in days)
    ):
        raise ValueError(f"{name}.days must be numbers of days, 1 (Monday) to 7")
    return frozenset(days)


def zone_of(zone: Any, name: str) -> ZoneInfo:
    """A time zone by its name; raises ValueError with the member's name."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise ValueError(f"{name} must be a time zone such as Europe/Paris, not {zone!r}") from error
