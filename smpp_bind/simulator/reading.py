"""The texts of options as values. Each raises SettingsError, which names the option and what it may be."""

from __future__ import annotations

from typing import Final, NamedTuple

from smpp_bind import pdu

_STATUSES: Final = {name: status for status, name in pdu.STATUS_NAMES.items()}
_A_DAY: Final = 86_400


class SettingsError(ValueError):
    """A setting that cannot be; the text says which and what is allowed."""


class Span(NamedTuple):
    """A duration in seconds, or a range of them from which each use draws."""

    low: float = 0.0
    high: float = 0.0


def text(given: str, *, option: str) -> str:
    return given


def whole(given: str, *, option: str) -> int:
    try:
        return int(given)
    except ValueError:
        raise SettingsError(f"{option}: {given!r} is not a whole number.") from None


def number(given: str, *, option: str) -> float:
    try:
        return float(given)
    except ValueError:
        raise SettingsError(f"{option}: {given!r} is not a number.") from None


def count(given: str, *, option: str) -> int:
    """Reads 7 or 0x07, above 0."""
    try:
        found = int(given, 0)
    except ValueError:
        found = 0
    if not 0 < found <= 0xFFFFFFFF:
        raise SettingsError(f"{option}: {given!r} is not a whole number above 0.")
    return found


def seconds(given: str, *, option: str) -> float:
    try:
        found = float(given)
    except ValueError:
        raise SettingsError(f"{option}: give a number of seconds, not {given!r}.") from None
    if not 0 < found <= _A_DAY:
        raise SettingsError(f"{option}: give more than 0 and at most {_A_DAY} seconds.")
    return found


def percent(given: str, *, option: str) -> float:
    found = number(given, option=option)
    if not 0 < found <= 100:
        raise SettingsError(f"{option}: give more than 0 and at most 100 per cent.")
    return found


def span(given: str, *, option: str) -> Span:
    """Reads `50` or `20-80`, in milliseconds."""
    low, dash, high = given.partition("-")
    try:
        found = Span(float(low) / 1000, float(high if dash else low) / 1000)
    except ValueError:
        raise SettingsError(f"{option}: give milliseconds as 50 or 20-80, not {given!r}.") from None
    if not 0 <= found.low <= found.high < float("inf"):
        raise SettingsError(f"{option}: {given!r} is not a range from low to high.")
    return found


def status(given: str, *, option: str) -> int:
    """Reads a command_status as 0x58, 88 or ESME_RTHROTTLED."""
    named = _STATUSES.get(given.upper())
    if named is not None:
        return named
    try:
        found = int(given, 0)
    except ValueError:
        found = -1
    if not 0 <= found <= 0xFFFFFFFF:
        raise SettingsError(f"{option}: {given!r} is no command_status; give 0x58, 88 or ESME_RTHROTTLED.")
    return found


def mix(given: str, *, option: str) -> dict[str, float]:
    """Reads `delivered=90,failed=10`; the numbers are weights."""
    weights: dict[str, float] = {}
    for pair in given.split(","):
        name, _, weight = pair.partition("=")
        try:
            weights[name.strip()] = float(weight)
        except ValueError:
            raise SettingsError(f"{option}: give name=weight pairs, not {pair!r}.") from None
    return weights
