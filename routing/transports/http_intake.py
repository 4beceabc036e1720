"""What an HTTP operator posts to us, read by its settings: receipts and handsets' messages. Pure.

Settings, with their defaults; paths as in :mod:`routing.transports.http_paths`, a form's fields by their names::

    intake_auth      path     path (…/receipts/<token>) | header | basic | hmac (of the body; of the query for a GET)
    intake_header    X-Intake-Token, for hmac X-Signature
    intake_username  the slug, for basic
    intake_digest    sha256 | sha1 | sha512, for hmac: hexadecimal or base64, with its name and = before it or not
    intake_reply     none     the text to answer with, where the operator wants one; none: JSON
    receipt_list, inbound_list   none      where the list is; none: the body is one, or a list of them
    receipt_id, receipt_status   id, status
    receipt_code, receipt_time   none
    receipt_states   {}       the operator's words → delivered, read, expired, … beside those of STATES
    inbound_from, inbound_to, inbound_text     from, to, text
    inbound_id, inbound_time     none      a message whose id came in the last 24 hours is not kept again

``secrets``: ``intake_token``, the token, password or key; without it nothing is taken in.
"""

import base64
import hmac
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from routing.contract import Inbound, OperatorSettings, Receipt, ReceiptState
from routing.errors import OperatorSettingsError
from routing.transports import http_rules
from routing.transports.http_paths import Path
from routing.transports.http_settings import Reader

AUTHS = ("path", "header", "basic", "hmac")
# The words for a receipt's state that operators use; what is here neither nor in receipt_states is unknown, and kept.
STATES: dict[str, ReceiptState] = {
    "delivered": ReceiptState.DELIVERED,
    "delivrd": ReceiptState.DELIVERED,
    "read": ReceiptState.READ,
    "seen": ReceiptState.READ,
    "expired": ReceiptState.EXPIRED,
    "undeliverable": ReceiptState.UNDELIVERABLE,
    "undelivered": ReceiptState.UNDELIVERABLE,
    "undeliv": ReceiptState.UNDELIVERABLE,
    "failed": ReceiptState.UNDELIVERABLE,
    "rejected": ReceiptState.REJECTED,
    "rejectd": ReceiptState.REJECTED,
    "deleted": ReceiptState.DELETED,
    "canceled": ReceiptState.DELETED,
    "cancelled": ReceiptState.DELETED,
    "accepted": ReceiptState.ACCEPTED,
    "acceptd": ReceiptState.ACCEPTED,
    "submitted": ReceiptState.ACCEPTED,
    "queued": ReceiptState.ACCEPTED,
    "enroute": ReceiptState.ENROUTE,
    "sent": ReceiptState.ENROUTE,
    "buffered": ReceiptState.ENROUTE,
    "pending": ReceiptState.ENROUTE,
}
# What an operator posted is kept beside what was read from it, up to this size as JSON.
MOST_RAW = 8 * 1024
LONGEST_ADDRESS = 64
LONGEST_TEXT = 20_000


class Presented(NamedTuple):
    """What came with a request to show who it is from; ``signed`` is what a signature is of."""

    token: str
    headers: Mapping[str, str]
    signed: bytes


@dataclass(frozen=True, slots=True)
class Door:
    """Who may post."""

    auth: str
    header: str
    username: str
    digest: str
    token: str

    def admits(self, presented: Presented) -> bool:
        """Whether the request shows the operator's secret; in the same time, whatever it shows instead."""
        if not self.token:
            return False
        given, right = self._shown(presented)
        return hmac.compare_digest(given.encode(), right.encode())

    def _shown(self, presented: Presented) -> tuple[str, str]:
        """What was shown, and what should have been."""
        if self.auth == "path":
            return presented.token, self.token
        if self.auth == "basic":
            pair = base64.b64encode(f"{self.username}:{self.token}".encode()).decode()
            return presented.headers.get("Authorization", ""), f"Basic {pair}"
        given = presented.headers.get(self.header, "").strip()
        if self.auth == "header":
            return given.removeprefix("Bearer "), self.token
        digest = hmac.digest(self.token.encode(), presented.signed, self.digest)
        given = given.removeprefix(f"{self.digest}=")
        if len(given) == 2 * len(digest):
            return given.lower(), digest.hex()
        return given, base64.b64encode(digest).decode()


class UnreadableError(Exception):
    """An item lacks what it must have; ``field`` is where it was looked for."""

    def __init__(self, field: str) -> None:
        super().__init__(f"There is no {field}.")
        self.field = field


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Where in an operator's posts things stand."""

    operator: OperatorSettings
    door: Door
    reply: str
    paths: Mapping[str, Path | None]
    states: Mapping[str, ReceiptState]

    def items(self, kind: str, document: Any) -> list[Any]:
        """The receipts (``kind`` is ``receipt``) or messages (``inbound``) in a body."""
        path = self.paths[f"{kind}_list"]
        if path is not None:
            return list(path.values(document))
        return document if isinstance(document, list) else [document]

    def receipt(self, item: Any, now: datetime) -> Receipt:
        """One receipt.

        Raises:
            UnreadableError: it has no id or no status.
        """
        remote_id, status = self._needed("receipt_id", item), self._needed("receipt_status", item)
        code, at = self._text("receipt_code", item), moment(self._text("receipt_time", item))
        return Receipt(
            operator_id=self.operator.id,
            remote_id=remote_id[: http_rules.LONGEST_ID],
            state=self.states.get(status.lower(), ReceiptState.UNKNOWN),
            occurred_at=now,
            code=(f"{status}:{code}" if code else status)[: http_rules.LONGEST_CODE],
            raw=kept(item) | ({} if at is None else {"doneAt": at.isoformat()}),
        )

    def inbound(self, item: Any, now: datetime) -> Inbound:
        """One handset's message; its text may be empty. ``handle`` is the operator's id of it, or None.

        Raises:
            UnreadableError: it has no sender or no recipient.
        """
        sender, recipient = self._needed("inbound_from", item), self._needed("inbound_to", item)
        at = moment(self._text("inbound_time", item))
        path = self.paths["inbound_text"]
        shown = next((v for v in path.values(item) if isinstance(v, str)), "") if path else ""
        return Inbound(
            operator_id=self.operator.id,
            sender=sender[:LONGEST_ADDRESS],
            recipient=recipient[:LONGEST_ADDRESS],
            text=shown[:LONGEST_TEXT],
            occurred_at=now,
            raw=kept(item) | ({} if at is None else {"sentAt": at.isoformat()}),
            handle=self._text("inbound_id", item),
        )

    def _text(self, name: str, item: Any) -> str | None:
        path = self.paths[name]
        return None if path is None else path.first(item)

    def _needed(self, name: str, item: Any) -> str:
        path = self.paths[name]
        found = self._text(name, item)
        if not found:
            raise UnreadableError(path.source if path else name)
        return found


def kept(item: Any) -> dict[str, Any]:
    """What is kept of an item as it was posted; nothing of a large one."""
    if not isinstance(item, dict) or len(msgspec.json.encode(item)) > MOST_RAW:
        return {}
    return item


_DEFAULTS = {
    "receipt_list": "",
    "receipt_id": "id",
    "receipt_status": "status",
    "receipt_code": "",
    "receipt_time": "",
    "inbound_list": "",
    "inbound_id": "",
    "inbound_from": "from",
    "inbound_to": "to",
    "inbound_text": "text",
    "inbound_time": "",
}


def read(reader: Reader) -> FieldMap:
    """The map in an operator's settings.

    Raises:
        OperatorSettingsError: says which setting, and what it may be.
    """
    auth = reader.choice("intake_auth", AUTHS, "path")
    door = Door(
        auth=auth,
        header=reader.header("intake_header", "X-Signature" if auth == "hmac" else "X-Intake-Token"),
        username=reader.text("intake_username", reader.operator.slug),
        digest=reader.choice("intake_digest", ("sha256", "sha1", "sha512"), "sha256"),
        token=_token(reader),
    )
    return FieldMap(
        operator=reader.operator,
        door=door,
        reply=reader.text("intake_reply"),
        paths={name: http_rules.path(reader, name, default) for name, default in _DEFAULTS.items()},
        states=_states(reader),
    )


def _token(reader: Reader) -> str:
    token = reader.secret("intake_token")
    if token and len(token) < 12:
        raise OperatorSettingsError(
            f"{reader.operator.slug}: the secret intake_token has fewer than 12 characters: it could be guessed."
        )
    return token


def _states(reader: Reader) -> dict[str, ReceiptState]:
    found = dict(STATES)
    for word, told in reader.texts("receipt_states").items():
        try:
            found[word.lower()] = ReceiptState(told)
        except ValueError as error:
            raise OperatorSettingsError(
                f"{reader.operator.slug}: receipt_states[{word!r}] must be one of "
                f"{', '.join(ReceiptState)}, not {told!r}."
            ) from error
    return found


def moment(given: str | None) -> datetime | None:
    """A moment as operators write them, UTC unless it says else; None for what is none.

    ISO 8601, with a space too; Unix time in seconds (10 digits) or milliseconds (13); YYMMDDhhmmss, YYYYMMDDhhmmss.
    """
    if not given:
        return None
    try:
        return _moment(given)
    except (ValueError, OverflowError):
        return None


def _moment(given: str) -> datetime:
    if given.isascii() and given.isdigit():
        if len(given) in {10, 13}:
            return datetime.fromtimestamp(int(given) / (1 if len(given) == 10 else 1000), tz=UTC)
        form = {12: "%y%m%d%H%M%S", 14: "%Y%m%d%H%M%S"}.get(len(given), "%Y%m%d")
        return datetime.strptime(given, form).replace(tzinfo=UTC)
    found = datetime.fromisoformat(given)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def document(body: bytes) -> Any:
    """A body's JSON, as operators write it, :func:`cleaned`.

    Raises:
        ValueError: it is none. RecursionError: it is nested too deeply.
    """
    try:
        found = msgspec.json.decode(body)
        return cleaned(found) if b"\\u0000" in body else found
    except msgspec.DecodeError as error:
        if b"\\u" not in body:
            raise ValueError(str(error)) from error
    # A text that was cut within a character ends with half of a surrogate pair.
    return cleaned(json.loads(body, parse_constant=_no_number, parse_float=_finite))


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def cleaned(value: Any) -> Any:
    """Without NUL and halves of characters, which PostgreSQL holds neither in text nor in JSON: U+FFFD in their
    place."""
    if isinstance(value, str):
        whole = (
            value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
        return whole.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {cleaned(name): cleaned(each) for name, each in value.items()}
    if isinstance(value, Sequence):
        return [cleaned(each) for each in value]
    return value
