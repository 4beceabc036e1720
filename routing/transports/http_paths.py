"""Where in an operator's JSON something stands: ``messages[0].id``, ``messages.0.id``, ``messages.*.id``."""

import re
from collections.abc import Iterator
from typing import Any

from routing.errors import OperatorSettingsError

_STEP = re.compile(r"\[(\d+|\*)\]|([^.\[\]]+)")


class Path:
    """A path read once. ``*`` stands for every member of a list.

    Raises:
        OperatorSettingsError: it is no path; names the setting that it is.
    """

    def __init__(self, source: str, *, setting: str) -> None:
        self.source = source
        self._steps = _steps(source, setting)

    def values(self, document: Any) -> Iterator[Any]:
        """What is there that is neither null nor missing, in order; a list at the end is its members."""
        if isinstance(document, dict) and self.source in document:
            # A form's fields, and members whose names have dots.
            found = iter((document[self.source],))
        else:
            found = _walk(document, self._steps)
        for value in found:
            for each in value if isinstance(value, list) else (value,):
                if each is not None:
                    yield each

    def texts(self, document: Any) -> list[str]:
        """The same as texts; objects are left out."""
        return [text(value) for value in self.values(document) if not isinstance(value, dict | list)]

    def first(self, document: Any) -> str | None:
        """The first text that is not empty."""
        return next((value for value in self.texts(document) if value), None)

    def objects(self, document: Any) -> list[dict[str, Any]]:
        """The objects among the values."""
        return [value for value in self.values(document) if isinstance(value, dict)]


def text(value: Any) -> str:
    """A JSON scalar as text: what it is written as."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()


def _steps(source: str, setting: str) -> tuple[str, ...]:
    steps: list[str] = []
    place = 0
    while place < len(source):
        found = _STEP.match(source, place)
        if found is None:
            break
        steps.append(found[1] or found[2])
        place = found.end()
        if place < len(source) - 1 and source[place] == ".":
            place += 1
    if place != len(source) or not steps:
        raise OperatorSettingsError(f"{setting} must be a path such as messages[0].id, not {source!r}.")
    return tuple(steps)


def _walk(value: Any, steps: tuple[str, ...]) -> Iterator[Any]:
    for place, step in enumerate(steps):
        if step == "*":
            for each in value if isinstance(value, list) else ():
                yield from _walk(each, steps[place + 1 :])
            return
        value = _member(value, step)
        if value is None:
            return
    yield value


def _member(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    return None
