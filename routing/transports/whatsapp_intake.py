"""What WhatsApp posts to us: statuses of our messages, and messages of handsets. Source: Meta's reference of the
Cloud API, "Webhooks": payload, "Verification requests", "Validating payloads".

One app has one URL, ``/intake/<operator>/events``, for all its numbers: what is for another operator's number, of the
same app, is that one's. ``secrets``: ``app_secret``, which signs (``X-Hub-Signature-256``); ``verify_token``, which
Meta shows when the URL is entered.
"""

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from routing.contract import Inbound, OperatorSettings, Receipt, ReceiptState
from routing.errors import OperatorSettingsError
from routing.transports import http_intake, http_rules
from routing.transports.http_intake import Door, UnreadableError
from routing.transports.http_paths import Path
from routing.transports.http_settings import Reader

STATES = {
    "sent": ReceiptState.ENROUTE,
    "delivered": ReceiptState.DELIVERED,
    "read": ReceiptState.READ,
    # A voice message.
    "played": ReceiptState.READ,
    "failed": ReceiptState.UNDELIVERABLE,
}
_CODE = Path("errors[0].code", setting="")
# What of a failure our clients are told; what is not here is undeliverable.
ERROR_CODES = {
    "131021": "INVALID_RECIPIENT",
    "131026": "RECIPIENT_NOT_REACHABLE",
    "131030": "INVALID_RECIPIENT",
    "131047": "TEMPLATE_REQUIRED",
}
# What a handset shows of a message that is no text.
_TEXTS = tuple(
    Path(source, setting="")
    for source in (
        "text.body",
        "button.text",
        "interactive.button_reply.title",
        "interactive.list_reply.title",
        "interactive.nfm_reply.body",
        "image.caption",
        "video.caption",
        "document.caption",
        "reaction.emoji",
    )
)


@dataclass(frozen=True, slots=True)
class Event:
    """One status or message, and the business number that it is about."""

    number_id: str
    number: str
    kind: str
    item: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WhatsAppMap:
    """One operator's."""

    operator: OperatorSettings
    door: Door
    number_id: str
    verify_token: str
    reply: str = ""

    @property
    def app(self) -> str:
        """What the numbers of one app have in common."""
        return self.door.token

    def challenge(self, query: Mapping[str, str]) -> str | None:
        """What to answer when Meta asks whether the URL is ours; None when it does not show the token."""
        shown = query.get("hub.verify_token", "")
        if query.get("hub.mode") != "subscribe" or not self.verify_token:
            return None
        if not hmac.compare_digest(shown.encode(), self.verify_token.encode()):
            return None
        return query.get("hub.challenge", "")[:200]

    def greeting(self, document: Any) -> str | None:
        """Meta asks by a GET: see :meth:`challenge`."""
        return None

    def events(self, document: Any) -> list[Event]:
        """The statuses and messages in a post; changes of other kinds are left out."""
        return list(_events(document))

    def read(self, event: Event, now: datetime) -> Receipt | Inbound:
        """A status as a receipt, a message as one.

        Raises:
            UnreadableError: it has no id, status or sender.
        """
        return self._receipt(event, now) if event.kind == "statuses" else self._inbound(event, now)

    def _receipt(self, event: Event, now: datetime) -> Receipt:
        remote_id, status = _needed(event, "id"), _needed(event, "status")
        code = _CODE.first(event.item)
        return Receipt(
            operator_id=self.operator.id,
            remote_id=remote_id[: http_rules.LONGEST_ID],
            state=STATES.get(status, ReceiptState.UNKNOWN),
            occurred_at=now,
            code=(f"{status}:{code}" if code else status)[: http_rules.LONGEST_CODE],
            error_code=ERROR_CODES.get(code or "") if status == "failed" else None,
            raw=_raw(event, "doneAt"),
        )

    def _inbound(self, event: Event, now: datetime) -> Inbound:
        shown = (value for path in _TEXTS for value in path.values(event.item))
        text = next((value for value in shown if isinstance(value, str)), "")
        return Inbound(
            operator_id=self.operator.id,
            sender=f"+{_needed(event, 'from').removeprefix('+')}"[: http_intake.LONGEST_ADDRESS],
            recipient=event.number[: http_intake.LONGEST_ADDRESS],
            text=text[: http_intake.LONGEST_TEXT],
            occurred_at=now,
            raw=_raw(event, "sentAt"),
            handle=_needed(event, "id"),
        )


def _events(document: Any) -> Iterator[Event]:
    for change in Path("entry.*.changes.*.value", setting="").objects(document):
        about = change.get("metadata")
        about = about if isinstance(about, dict) else {}
        digits = "".join(filter(str.isdecimal, str(about.get("display_phone_number", ""))))
        for kind in ("statuses", "messages"):
            items = change.get(kind)
            for item in items if isinstance(items, list) else ():
                yield Event(str(about.get("phone_number_id", "")), f"+{digits}", kind, item)


def read(reader: Reader) -> WhatsAppMap:
    """The map in an operator's settings.

    Raises:
        OperatorSettingsError: says which setting, and what it may be.
    """
    secret = reader.secret("app_secret")
    door = Door(auth="hmac", header="X-Hub-Signature-256", username="", digest="sha256", token=secret)
    return WhatsAppMap(reader.operator, door, number_id(reader), reader.secret("verify_token"))


def number_id(reader: Reader) -> str:
    """The id of the operator's business number.

    Raises:
        OperatorSettingsError: there is none, or it is no number.
    """
    found = reader.needed("phone_number_id")
    if not (found.isascii() and found.isdecimal()):
        raise OperatorSettingsError(
            f"{reader.operator.slug}: phone_number_id must be the id of a business number, digits, not {found!r}."
        )
    return found


def _needed(event: Event, name: str) -> str:
    found = event.item.get(name) if isinstance(event.item, dict) else None
    if not isinstance(found, str) or not found:
        raise UnreadableError(f"{event.kind}.{name}")
    return found


def _raw(event: Event, name: str) -> dict[str, Any]:
    at = http_intake.moment(str(event.item.get("timestamp", "")))
    return http_intake.kept(event.item) | ({} if at is None else {name: at.isoformat()})
