"""Quiet hours of an operator: its setting ``quiet_hours``, in which nothing is handed to it.

``{"windows": ["21:00-08:00"], "days": ["mon", "tue"], "timezone": "Asia/Kolkata", "exempt": ["high"],
"elsewhere": false}``; only ``windows`` and ``timezone`` are needed. Days are those on which a window starts; without
them it is every day. The zone ``recipient`` is that of the recipient's number, as the prefixes of
:mod:`phonenumbers` have it: a number of several zones is quiet while it is quiet in any of them, one of no country
goes by UTC. Messages of an exempt priority pass.

What an operator in its quiet hours would carry goes by an equal of its route that is awake, and waits where there is
none. ``elsewhere``: true is that routes of lower rank may have it too, false that not even equals may.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.db import connection
from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

from routing import windows
from routing.windows import Window

log = structlog.get_logger(__name__)

SETTING = "quiet_hours"
RECIPIENT = "recipient"
PRIORITIES = {"high": 0, "normal": 1, "bulk": 2}
_DAYS = {name: day for day, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), start=1)}
_MEMBERS = ("windows", "days", "timezone", "exempt", "elsewhere")
_ANYWHERE = ("UTC",)
# A week and a day: every window has come by.
_AHEAD = 8


@dataclass(frozen=True, slots=True)
class Hush:
    """Quiet hours as they are at a moment. ``zones``: those that are quiet by recipient, None is whoever it is."""

    zones: frozenset[str] | None = None
    exempt: frozenset[int] = frozenset()
    elsewhere: bool | None = None

    def holds(self, recipient: str, priority: int) -> bool:
        """Whether a message has to wait."""
        if priority in self.exempt:
            return False
        return self.zones is None or not self.zones.isdisjoint(zones_of(recipient))


@dataclass(frozen=True, slots=True)
class Quiet:
    """The setting, read. Its windows' zone does not count where it is the recipient's that does."""

    windows: tuple[Window, ...]
    by_recipient: bool = False
    exempt: frozenset[int] = frozenset()
    elsewhere: bool | None = None

    def at(self, moment: datetime) -> Hush | None:
        """What it comes to at a moment; None is that nobody has to wait."""
        if self.by_recipient:
            zones = _quiet_zones(self.windows, moment.replace(second=0, microsecond=0))
            return Hush(zones, self.exempt, self.elsewhere) if zones else None
        is_quiet = any(window.holds(moment) for window in self.windows)
        return Hush(None, self.exempt, self.elsewhere) if is_quiet else None

    def turns(self, moment: datetime, recipient: str | None = None) -> datetime | None:
        """When it is next otherwise, quiet or not, than at the moment; None if never within a week.

        By the recipient's zone it takes the recipient.
        """
        hush = self.at(moment)
        was_quiet = _is_quiet(hush, recipient)
        edges = sorted(edge for edge in self._edges(moment, recipient) if edge > moment)
        return next((edge for edge in edges if _is_quiet(self.at(edge), recipient) != was_quiet), None)

    def _edges(self, moment: datetime, recipient: str | None) -> Iterator[datetime]:
        """The starts and ends of the windows on the days about and after the moment."""
        zones: list[ZoneInfo] = [window.zone for window in self.windows[:1]]
        if self.by_recipient and recipient is not None:
            zones = [ZoneInfo(name) for name in zones_of(recipient)]
        for zone in zones:
            midnight = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
            for day in range(-1, _AHEAD + 1):
                for window in self.windows:
                    for minute in (window.start, window.end):
                        local = midnight + timedelta(days=day, minutes=minute)
                        yield local.astimezone(UTC)


def _is_quiet(hush: Hush | None, recipient: str | None) -> bool:
    if hush is None or hush.zones is None or recipient is None:
        return hush is not None
    return not hush.zones.isdisjoint(zones_of(recipient))


def zones_of(recipient: str) -> tuple[str, ...]:
    """The time zones that an E.164 number may be in."""
    return _zones(recipient[1 : TIMEZONE_LONGEST_PREFIX + 1])


@functools.lru_cache(maxsize=50_000)
def _zones(digits: str) -> tuple[str, ...]:
    for length in range(len(digits), 0, -1):
        found = TIMEZONE_DATA.get(digits[:length])
        if found is not None:
            return found
    return _ANYWHERE


@functools.lru_cache(maxsize=64)
def _quiet_zones(given: tuple[Window, ...], minute: datetime) -> frozenset[str]:
    """Of all zones that numbers have those in which it is quiet in that minute."""
    return frozenset(
        name for name, zone in _all_zones().items() if _any_shows(given, minute.astimezone(zone))
    )


def _any_shows(given: tuple[Window, ...], local: datetime) -> bool:
    return any(window.shows(local) for window in given)


@functools.cache
def _all_zones() -> dict[str, ZoneInfo]:
    """Those of the numbers' prefixes: 0.04 s to read."""
    names = {name for names in TIMEZONE_DATA.values() for name in names}
    return {name: ZoneInfo(name) for name in sorted(names.union(_ANYWHERE))}


def parse(given: Any) -> Quiet:
    """Quiet hours as the setting has them.

    Raises:
        ValueError: they are not of the form, or leave no minute of the week; the text names the member.
    """
    if not isinstance(given, dict):
        raise ValueError(f"{SETTING} must be an object with windows and timezone")  # noqa: TRY004
    unknown = sorted(set(given) - set(_MEMBERS))
    if unknown:
        raise ValueError(f"{SETTING} has no member {unknown[0]!r}: it takes {', '.join(_MEMBERS)}")
    by_recipient = given.get("timezone") == RECIPIENT
    name = f"{SETTING}.timezone"
    if "timezone" not in given:
        raise ValueError(f"{name} is missing: a time zone such as Asia/Kolkata, or {RECIPIENT}")
    zone = ZoneInfo("UTC") if by_recipient else windows.zone_of(given["timezone"], name)
    spans = _windows(given.get("windows"), _named(given, "days", _DAYS) or windows.EVERY_DAY, zone)
    elsewhere = given.get("elsewhere")
    if elsewhere is not None and type(elsewhere) is not bool:
        raise ValueError(f"{SETTING}.elsewhere must be true or false")
    return Quiet(spans, by_recipient, _named(given, "exempt", PRIORITIES), elsewhere)


def _windows(given: Any, days: frozenset[int], zone: ZoneInfo) -> tuple[Window, ...]:
    name = f"{SETTING}.windows"
    if not isinstance(given, list) or not 1 <= len(given) <= windows.MOST:
        raise ValueError(f"{name} must be a list of 1 to {windows.MOST} texts such as 21:00-08:00")
    spans = tuple(_window(text, f"{name}[{place}]", days, zone) for place, text in enumerate(given))
    if all(
        _any_shows(spans, _MONDAY + timedelta(minutes=minute)) for minute in range(7 * windows.DAY_MINUTES)
    ):
        raise ValueError(f"{name} leave no time in which anything could be sent")
    return spans


_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def _window(text: Any, name: str, days: frozenset[int], zone: ZoneInfo) -> Window:
    if not isinstance(text, str) or text.count("-") != 1:
        raise ValueError(f"{name} must be two times of day such as 21:00-08:00")
    start, end = (windows.minutes(each.strip(), name) for each in text.split("-"))
    if start in {end, windows.DAY_MINUTES}:
        raise ValueError(f"{name} must start at another time than its end, and before 24:00")
    return Window(days, start, end, zone)


def _named(given: dict[str, Any], member: str, known: dict[str, int]) -> frozenset[int]:
    names = given.get(member)
    if names is None:
        return frozenset()
    if not isinstance(names, list) or not names or any(str(name) not in known for name in names):
        raise ValueError(f"{SETTING}.{member} must be a list of {', '.join(known)}")
    return frozenset(known[name] for name in names)


_SETTINGS = """
SELECT id, slug, (settings->%(name)s)::text FROM routing_operator
WHERE jsonb_typeof(settings->%(name)s) IS DISTINCT FROM 'null' AND jsonb_exists(settings, %(name)s)
"""
# Written past the forms: until it is mended nothing is sent that might be sent at night.
UNREADABLE = Hush(elsewhere=False)


def hushes(*, now: datetime) -> dict[int, Hush]:
    """The operators that are quiet at this moment, wholly or for some recipients."""
    found: dict[int, Hush] = {}
    with connection.cursor() as cursor:
        cursor.execute(_SETTINGS, {"name": SETTING})
        rows = cursor.fetchall()
    for operator_id, slug, given in rows:
        hush = _hush(slug, given, now)
        if hush is not None:
            found[operator_id] = hush
    return found


@functools.lru_cache(maxsize=256)
def _read(text: str) -> Quiet:
    return parse(json.loads(text))


def _hush(slug: str, text: str, now: datetime) -> Hush | None:
    try:
        return _read(text).at(now)
    except ValueError as error:
        log.warning("operator.quiet_hours_refused", operator=slug, reason=str(error))
        return UNREADABLE


def told(*, given: Any, now: datetime) -> str:
    """The setting at a moment, for the platform's people."""
    if given is None:
        return "none"
    try:
        hours = parse(given)
    except ValueError as error:
        return f"They cannot be read, so nothing is sent: {error}"
    hush = hours.at(now)
    if hours.by_recipient:
        resting = 0 if hush is None or hush.zones is None else len(hush.zones)
        return f"by the recipient's clock; quiet now in {resting} of {len(_all_zones())} time zones"
    turn = hours.turns(now)
    own = "" if turn is None else f"{turn.astimezone(hours.windows[0].zone):%H:%M} {given['timezone']}"
    when = "" if turn is None else f"{turn:%Y-%m-%d %H:%M} UTC ({own})"
    return f"quiet now, until {when}" if hush else f"not now; the next begin {when}"


def until(*, operator_id: int, recipient: str, now: datetime) -> datetime | None:
    """When an operator that is quiet for a recipient is so no more; None where that cannot be told."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_SETTINGS} AND id = %(id)s", {"name": SETTING, "id": operator_id})
        row = cursor.fetchone()
    try:
        return None if row is None else _read(row[2]).turns(now, recipient)
    except ValueError:
        return None
