"""Reading a JSON object member by member, collecting everything that is wrong with it.

What every resource shares: one error names each faulty member by its path, and nothing is done while there is one.
"""

import functools
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from gateway import errors, numbers
from gateway.errors import Detail, Problem

URL_LENGTH = 2048

_url = re.compile(r"https?://[^/?#\\<>\"\x00-\x20\x7f-\U0010ffff]+(?:[/?#][!-~]*)?", re.IGNORECASE)


class Faults(list[Detail]):
    """What is wrong with one object."""

    def add(self, field: str, code: str, message: str) -> None:
        self.append(Detail(field, code, message))

    def problem(self) -> Problem:
        """One error for all of them: of the kind they share, else the general one."""
        codes = {fault.code for fault in self}
        kind = _KINDS.get(codes.pop(), errors.Invalid) if len(codes) == 1 else errors.Invalid
        if len(self) == 1:
            (fault,) = self
            return kind(f"{fault.field}: {fault.message}" if fault.field else fault.message, details=self)
        return kind(details=self)


_KINDS: dict[str, type[Problem]] = {
    kind.code: kind
    for kind in (
        errors.InvalidRecipient,
        errors.InvalidSender,
        errors.TextTooLong,
        errors.TemplateNotFound,
        errors.TemplateNotApproved,
        errors.TemplateVariableMissing,
        errors.TemplateChannelMismatch,
    )
}


class Members:
    """The members of a body. Each reader returns the value, or None when it is absent, null or faulty.

    Read every member, then call :meth:`check`. ``given`` tells an absent member from a null one.
    """

    def __init__(self, body: Any, *, known: Collection[str], path: str = "") -> None:
        self.faults = Faults()
        self._path = path
        self._body: dict[str, Any] = body if type(body) is dict else {}
        if type(body) is not dict:
            self.faults.add(path, "INVALID_TYPE", "Must be an object.")
        for name in self._body.keys() - set(known):
            self.fault(name, "UNKNOWN_MEMBER", "There is no such member.")

    def __contains__(self, name: str) -> bool:
        return name in self._body

    def fault(self, name: str, code: str, message: str) -> None:
        self.faults.add(f"{self._path}.{name}" if self._path else name, code, message)

    def check(self) -> None:
        """Raise the problem that the faults make, if there are any.

        Raises:
            errors.Invalid: naming each member.
        """
        if self.faults:
            raise self.faults.problem()

    def value(self, name: str, *, required: bool = False) -> Any:
        found = self._body.get(name)
        if found is None and required:
            self.fault(name, "REQUIRED", "This member is required.")
        return found

    def text(
        self, name: str, *, required: bool = False, longest: int = 255, pattern: re.Pattern[str] | None = None
    ) -> str | None:
        """A string of 1 to ``longest`` characters, all of it matching ``pattern``."""
        found = self.value(name, required=required)
        if found is None:
            return None
        if type(found) is not str:
            self.fault(name, "INVALID_TYPE", "Must be a string.")
        elif not 1 <= len(found) <= longest:
            self.fault(name, "INVALID_LENGTH", f"1 to {longest:,} characters.")
        elif pattern is not None and not pattern.fullmatch(found):
            self.fault(name, "INVALID_VALUE", f"Must match {pattern.pattern}.")
        else:
            return found
        return None

    def choice(self, name: str, allowed: Sequence[str], *, required: bool = False) -> str | None:
        found = self.value(name, required=required)
        if found is None or (type(found) is str and found in allowed):
            return found
        self.fault(name, "INVALID_VALUE", f"One of {', '.join(allowed)}.")
        return None

    def flag(self, name: str) -> bool | None:
        found = self.value(name)
        if found is None or type(found) is bool:
            return found
        self.fault(name, "INVALID_TYPE", "Must be true or false.")
        return None

    def whole(self, name: str, allowed: range, *, required: bool = False) -> int | None:
        found = self.value(name, required=required)
        if found is None:
            return None
        if type(found) is not int:
            self.fault(name, "INVALID_TYPE", "Must be a whole number.")
        elif found not in allowed:
            self.fault(name, "OUT_OF_RANGE", f"From {allowed.start} to {allowed.stop - 1}.")
        else:
            return found
        return None

    def phone(self, name: str, *, required: bool = False) -> str | None:
        """A phone number, as E.164."""
        found = self.value(name, required=required)
        if found is None:
            return None
        if type(found) is not str:
            self.fault(name, "INVALID_TYPE", "Must be a string.")
            return None
        try:
            return numbers.normalise(found)
        except errors.InvalidRecipient as error:
            self.fault(name, error.code, error.message)
        return None

    def texts(
        self, name: str, *, most: int, longest: int = 255, allowed: Sequence[str] | None = None
    ) -> list[str] | None:
        """An array of distinct strings; repeats are dropped."""
        found = self.value(name)
        if found is None:
            return None
        if type(found) is not list:
            self.fault(name, "INVALID_TYPE", "Must be an array of strings.")
            return None
        for index, item in enumerate(found):
            if type(item) is not str or not 1 <= len(item) <= longest:
                self.fault(f"{name}[{index}]", "INVALID_VALUE", f"A string of 1 to {longest} characters.")
                return None
            if allowed is not None and item not in allowed:
                self.fault(f"{name}[{index}]", "INVALID_VALUE", f"One of {', '.join(allowed)}.")
                return None
        if len(found) > most:
            self.fault(name, "TOO_MANY", f"At most {most}.")
            return None
        return list(dict.fromkeys(found))

    def pairs(self, name: str, *, most: int, longest: int = 255) -> dict[str, str] | None:
        """An object whose values are strings."""
        found = self.value(name)
        if found is None:
            return None
        if type(found) is not dict:
            self.fault(name, "INVALID_TYPE", "Must be an object of strings.")
            return None
        for key, item in found.items():
            if type(item) is not str or len(item) > longest or len(key) > longest:
                self.fault(
                    f"{name}.{key[:80]}", "INVALID_VALUE", f"A string of at most {longest} characters."
                )
                return None
        if len(found) > most:
            self.fault(name, "TOO_MANY", f"At most {most} pairs.")
            return None
        return found

    def url(self, name: str) -> str | None:
        found = self.value(name)
        if found is None or (type(found) is str and is_url(found)):
            return found
        self.fault(name, "INVALID_VALUE", f"An http or https URL of at most {URL_LENGTH:,} characters.")
        return None

    def moment(self, name: str) -> datetime | None:
        found = self.value(name)
        if found is None:
            return None
        at = moment(found) if type(found) is str else None
        if at is None:
            self.fault(name, "INVALID_VALUE", "ISO 8601 with a time zone: 2026-12-01T09:00:00Z.")
        return at


@functools.lru_cache(maxsize=2048)
def is_url(value: str) -> bool:
    """Whether it is an http or https URL of printable ASCII, with a host, short enough to be kept."""
    if len(value) > URL_LENGTH or not _url.fullmatch(value):
        return False
    try:
        parts = urlsplit(value)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def moment(text: str) -> datetime | None:
    """ISO 8601 with a time zone, in UTC; None for anything else."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None and at.year >= 1970:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    return None
