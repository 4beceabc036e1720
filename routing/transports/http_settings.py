"""An HTTP operator's settings, read one by one: each in its type, or refused by its name."""

import re
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from routing.contract import OperatorSettings
from routing.errors import OperatorSettingsError

# RFC 9110 §5.6.2: what a header's name is made of.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Reader:
    """Remembers what it was asked for, so that :meth:`done` can refuse what nobody reads."""

    def __init__(self, operator: OperatorSettings) -> None:
        self.operator = operator
        self._given = operator.settings
        self._asked: set[str] = set()

    def wrong(self, name: str, wanted: str) -> OperatorSettingsError:
        """The error of a setting: what it must be, and what it is."""
        return OperatorSettingsError(
            f"{self.operator.slug}: {name} must be {wanted}, not {self._given.get(name)!r}."
        )

    def any(self, name: str) -> Any:
        """A setting as it was given; None when it was not."""
        self._asked.add(name)
        return self._given.get(name)

    def text(self, name: str, default: str = "") -> str:
        value = self.any(name)
        if value is None:
            return default
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise self.wrong(name, "a text")
        return str(value)

    def needed(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise OperatorSettingsError(f"{self.operator.slug}: {name} is missing.")
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """A number, which may be given as text."""
        value = self.any(name)
        if value is None:
            return default
        wanted = f"a number from {least:g} to {most:g}"
        try:
            found = float(value)
        except (TypeError, ValueError) as error:
            raise self.wrong(name, wanted) from error
        if isinstance(value, bool) or not least <= found <= most:
            raise self.wrong(name, wanted)
        return found

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.any(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise self.wrong(name, f"one of {', '.join(choices)}")
        return value

    def texts(self, name: str) -> dict[str, str]:
        """An object of texts; numbers and booleans as JSON writes them."""
        value = self.any(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(name, "a JSON object of texts")
        return {str(key): self._member(name, each) for key, each in value.items()}

    def _member(self, name: str, value: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str | int | float):
            raise self.wrong(name, "a JSON object of texts")
        return str(value)

    def header(self, name: str, default: str = "") -> str:
        """A header's name."""
        value = self.text(name, default)
        if not _TOKEN.fullmatch(value):
            raise self.wrong(name, "a header's name")
        return value

    def headers(self, name: str) -> dict[str, str]:
        """Headers by name; one that would end its line is refused, and those that the client itself writes."""
        found = self.texts(name)
        for header, value in found.items():
            if not _TOKEN.fullmatch(header) or "\r" in value or "\n" in value:
                raise self.wrong(name, "headers: names of letters, digits and hyphens, values of one line")
            if header.lower() in {"host", "content-length", "transfer-encoding", "connection"}:
                raise OperatorSettingsError(
                    f"{self.operator.slug}: {name} must not have {header}, which is written for each request."
                )
        return found

    def pattern(self, name: str) -> re.Pattern[str] | None:
        """A regular expression with one group, which is what is looked for."""
        value = self.text(name)
        if not value:
            return None
        try:
            found = re.compile(value)
        except re.error as error:
            raise self.wrong(name, f"a regular expression ({error})") from error
        if found.groups != 1:
            raise self.wrong(name, "a regular expression with one group")
        return found

    def url(self, name: str, default: str = "") -> str:
        """An http or https URL whose host is written out."""
        value = self.text(name, default) or self.needed(name)
        try:
            parts = urlsplit(value)
            written_out = parts.hostname and parts.port != 0 and "{{" not in parts.netloc
        except ValueError:
            written_out = None
        if not written_out or parts.scheme not in {"http", "https"} or re.search(r"[\s\x00-\x1f]", value):
            raise self.wrong(name, "an http or https URL with its host written out")
        if parts.username is not None:
            raise OperatorSettingsError(
                f"{self.operator.slug}: {name} must not have credentials; give auth, username and a secret."
            )
        return value

    def tls(self) -> ssl.SSLContext:
        """What certificates are checked against: ``tls_ca_file``, ``tls_verify``."""
        ca_file = self.text("tls_ca_file") or None
        verify = self.flag("tls_verify", default=True)
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ValueError) as error:
            raise self.wrong("tls_ca_file", f"a file of certificates ({error})") from error
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def secret(self, name: str, needed_by: str = "") -> str:
        """A secret; with ``needed_by`` it must be there."""
        value = str(self.operator.secrets.get(name) or "")
        if needed_by and not value:
            raise OperatorSettingsError(
                f"{self.operator.slug}: the secret {name} is missing; {needed_by} needs it."
            )
        if "\r" in value or "\n" in value:
            raise OperatorSettingsError(f"{self.operator.slug}: the secret {name} must be one line.")
        return value

    def done(self) -> None:
        """Refuse settings that were not asked for: a slip of the pen must not pass for a default."""
        unknown = sorted(set(self._given) - self._asked)
        if unknown:
            raise OperatorSettingsError(
                f"{self.operator.slug}: there is no setting {unknown[0]!r}; there are "
                f"{', '.join(sorted(self._asked))}."
            )
