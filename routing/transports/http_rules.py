"""What an operator's answers mean by its settings: when a message was taken, under which id, and what else."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway import errors as gateway_errors
from routing.errors import OperatorSettingsError
from routing.transports import http_answers
from routing.transports.http_answers import Meaning, Reading
from routing.transports.http_client import Answer
from routing.transports.http_paths import Path, text
from routing.transports.http_settings import Reader

MOST_IDS = 255
LONGEST_ID = 255
LONGEST_CODE = 64
_UNREADABLE = object()
_RANGE = re.compile(r"(\d{3})(?:-(\d{3}))?")
_MEANINGS = tuple(meaning.value for meaning in Meaning if meaning is not Meaning.ACCEPTED)
# What a refusal may be told as.
ERROR_CODES = frozenset(gateway_errors.OUTCOMES) | {"INVALID_RECIPIENT", "INVALID_SENDER"}


@dataclass(frozen=True, slots=True)
class Rules:
    """Without a ``success_path`` a status of ``statuses`` is a success, unless the error map knows the code."""

    statuses: frozenset[int]
    success_path: Path | None
    success_equals: frozenset[str]
    id_path: Path | None
    id_pattern: re.Pattern[str] | None
    code_path: Path | None
    code_pattern: re.Pattern[str] | None
    errors: Mapping[str, tuple[Meaning, str | None]]

    def read(self, answer: Answer) -> Reading:
        """What an answer means; one that a rule needs to look into and cannot is unknown."""
        document = self._document(answer)
        good = answer.status in self.statuses
        if good and self._says_success(document):
            return self._accepted(answer, document)
        code = self._code(answer, document)
        known = self.errors.get(code or "") or self.errors.get(str(answer.status))
        shown = (code or f"HTTP {answer.status}")[:LONGEST_CODE]
        if known is not None:
            return Reading(known[0], code=shown, error_code=known[1])
        if not good:
            meaning = http_answers.by_status(answer)
            # By the status it would be a success; by the operator's rule it is none.
            return Reading(Meaning.PERMANENT if meaning is Meaning.ACCEPTED else meaning, code=shown)
        if self.success_path is None:
            return self._accepted(answer, document)
        return Reading(Meaning.UNKNOWN if document is _UNREADABLE else Meaning.PERMANENT, code=shown)

    def _document(self, answer: Answer) -> Any:
        """The answer's JSON, where a rule needs it."""
        if self.success_path is None and self.id_path is None and self.code_path is None:
            return None
        try:
            return msgspec.json.decode(answer.body) if answer.whole else _UNREADABLE
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _UNREADABLE

    def _says_success(self, document: Any) -> bool:
        """By a member of the answer; with no rule about one, nothing is said."""
        if self.success_path is None:
            return False
        found = self.success_path.texts(document)
        if not self.success_equals:
            return bool(found)
        return bool(found) and self.success_equals.issuperset(found)

    def _accepted(self, answer: Answer, document: Any) -> Reading:
        ids: list[str] = []
        if self.id_path is not None:
            ids = self.id_path.texts(document)
        elif self.id_pattern is not None:
            ids = self.id_pattern.findall(answer.body.decode("utf-8", "replace"))
        kept = (each.strip()[:LONGEST_ID].replace("\0", "") for each in ids)
        return Reading(Meaning.ACCEPTED, tuple(each for each in kept if each)[:MOST_IDS])

    def _code(self, answer: Answer, document: Any) -> str | None:
        if self.code_path is not None:
            return self.code_path.first(document)
        if self.code_pattern is not None:
            found = self.code_pattern.search(answer.body.decode("utf-8", "replace"))
            return found and found[1].strip()
        return None


def read(reader: Reader) -> Rules:
    """The rules in an operator's settings.

    Raises:
        OperatorSettingsError: says which setting, and what it may be.
    """
    rules = Rules(
        statuses=_statuses(reader),
        success_path=path(reader, "success_path"),
        success_equals=_equals(reader),
        id_path=path(reader, "id_path"),
        id_pattern=reader.pattern("id_pattern"),
        code_path=path(reader, "code_path"),
        code_pattern=reader.pattern("code_pattern"),
        errors=errors(reader),
    )
    slug = reader.operator.slug
    if rules.success_equals and rules.success_path is None:
        raise OperatorSettingsError(f"{slug}: success_equals needs success_path: what is to be equal.")
    for one, other in (("id_path", "id_pattern"), ("code_path", "code_pattern")):
        if getattr(rules, one) is not None and getattr(rules, other) is not None:
            raise OperatorSettingsError(f"{slug}: give {one} or {other}, not both.")
    return rules


def path(reader: Reader, name: str, default: str = "") -> Path | None:
    """A path setting; None when it is not given."""
    source = reader.text(name, default)
    return Path(source, setting=f"{reader.operator.slug}: {name}") if source else None


def _statuses(reader: Reader) -> frozenset[int]:
    """``success_status``: 200, "200-299", or a list of such."""
    given = reader.any("success_status")
    wanted = "HTTP statuses such as 200, 200-299 or a list of them"
    found: set[int] = set()
    for each in given if isinstance(given, list) else ["200-299" if given is None else given]:
        for word in str(each).split(","):
            match = _RANGE.fullmatch(word.strip())
            if match is None or not 200 <= int(match[1]) <= int(match[2] or match[1]) <= 599:
                raise reader.wrong("success_status", wanted)
            found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    if not found:
        raise reader.wrong("success_status", wanted)
    return frozenset(found)


def _equals(reader: Reader) -> frozenset[str]:
    """``success_equals``: one value or a list of them."""
    given = reader.any("success_equals")
    if given is None:
        return frozenset()
    values = given if isinstance(given, list) else [given]
    if not values or any(isinstance(value, dict | list) or value is None for value in values):
        raise reader.wrong("success_equals", "a value, or a list of values")
    return frozenset(text(value) for value in values)


def errors(reader: Reader) -> dict[str, tuple[Meaning, str | None]]:
    """``errors``: the operator's codes and HTTP statuses → ``permanent``, ``temporary:SOME_CODE`` and so on."""
    found: dict[str, tuple[Meaning, str | None]] = {}
    for code, told in reader.texts("errors").items():
        word, colon, error_code = told.partition(":")
        if word not in _MEANINGS or (colon and error_code not in ERROR_CODES):
            raise OperatorSettingsError(
                f"{reader.operator.slug}: errors[{code!r}] must be one of {', '.join(_MEANINGS)}, if wanted "
                f"with a colon and one of {', '.join(sorted(ERROR_CODES))}, not {told!r}."
            )
        found[code] = (Meaning(word), error_code or None)
    return found
