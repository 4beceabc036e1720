"""What RCS Business Messaging posts to us: events of our messages, and messages of handsets. Source: Google's
reference of the RCS for Business API, "UserMessage", "UserEvent", "ServerEvent"; its guide "Webhooks".

One partner has one URL, ``/intake/<operator>/events``, for all its agents: what is for another operator's agent, of
the same client token, is that one's. Pub/Sub may push to the same URL, with ``?token=…``. Setting, with its default::

    address          the agent's id, before its @      what handsets' messages are addressed to, for `add_number`

``secrets``: ``client_token``, which signs (``X-Goog-Signature``, of the decoded ``message.data``); ``intake_token``,
for pushes.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from routing.contract import Inbound, OperatorSettings, Receipt, ReceiptState
from routing.errors import OperatorSettingsError
from routing.transports import http_intake, http_rules
from routing.transports.http_intake import Presented
from routing.transports.http_paths import Path
from routing.transports.http_settings import Reader

log = structlog.get_logger(__name__)

STATES = {
    "DELIVERED": ReceiptState.DELIVERED,
    "READ": ReceiptState.READ,
    "TTL_EXPIRATION_REVOKED": ReceiptState.EXPIRED,
    # Its time is over, and it may be shown all the same.
    "TTL_EXPIRATION_REVOKE_FAILED": ReceiptState.ENROUTE,
}
# Of a conversation, not of a message. The handset's STOP comes as a text beside UNSUBSCRIBE.
_PASSING = frozenset({"IS_TYPING", "SUBSCRIBE", "UNSUBSCRIBE"})
_TEXTS = tuple(Path(source, setting="") for source in ("text", "suggestionResponse.text"))
_CONTENTS = ("text", "userFile", "location", "suggestionResponse")
_DOMAIN = "@rbm.goog"


@dataclass(frozen=True, slots=True)
class Event:
    """An event or message, and the agent that it is about: where it does not say, the one that was posted to."""

    number_id: str
    item: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Door:
    """Who may post: Google, which signs, Pub/Sub, which has a token in its URL."""

    token: str
    push_token: str

    def admits(self, presented: Presented) -> bool:
        """Whether the request shows one of the secrets; in the same time, whatever it shows instead."""
        if self.push_token and hmac.compare_digest(presented.token.encode(), self.push_token.encode()):
            return True
        if not self.token:
            return False
        document = _document(presented.signed)
        if asks(document):
            return hmac.compare_digest(str(document["clientToken"]).encode(), self.token.encode())
        digest = hmac.digest(self.token.encode(), _data(document) or b"", "sha512")
        given = presented.headers.get("X-Goog-Signature", "").strip()
        return hmac.compare_digest(given.encode(), base64.b64encode(digest))


@dataclass(frozen=True, slots=True)
class RcsMap:
    """One operator's."""

    operator: OperatorSettings
    door: Door
    number_id: str
    address: str
    reply: str = ""

    @property
    def app(self) -> str:
        """What operators that are posted to at one URL have in common."""
        return self.door.token or self.door.push_token

    def challenge(self, query: Mapping[str, str]) -> str | None:
        """Google asks by a post: see :meth:`greeting`."""
        return None

    def greeting(self, document: Any) -> str | None:
        """What to answer to a post that only asks whether the URL is ours; None for any other."""
        return str(document.get("secret", ""))[:200] if asks(document) else None

    def events(self, document: Any) -> list[Event]:
        """What is in a post: one event or message, or none.

        One that lacks what it must have is none: what Google is refused it sends for days, and holds up all that
        comes after it.
        """
        item = _document(_data(document) or b"")
        if item is None:
            log.warning("intake.unreadable", operator=self.operator.slug, field="message.data")
        if not isinstance(item, dict) or str(item.get("eventType")) in _PASSING:
            return []
        if "eventType" not in item and not any(name in item for name in _CONTENTS):
            return []
        for name in ("messageId", "eventType") if "eventType" in item else ("senderPhoneNumber",):
            if not isinstance(item.get(name), str) or not item[name]:
                log.warning("intake.unreadable", operator=self.operator.slug, field=name)
                return []
        agent = item.get("agentId")
        return [Event(bare(str(agent)) if agent else self.number_id, item)]

    def read(self, event: Event, now: datetime) -> Receipt | Inbound:
        """An event as a receipt, a message as one."""
        return self._receipt(event, now) if "eventType" in event.item else self._inbound(event, now)

    def _receipt(self, event: Event, now: datetime) -> Receipt:
        kind: str = event.item["eventType"]
        return Receipt(
            operator_id=self.operator.id,
            remote_id=event.item["messageId"][: http_rules.LONGEST_ID],
            state=STATES.get(kind, ReceiptState.UNKNOWN),
            occurred_at=now,
            code=kind[: http_rules.LONGEST_CODE],
            raw=_raw(event, "doneAt"),
        )

    def _inbound(self, event: Event, now: datetime) -> Inbound:
        shown = (value for path in _TEXTS for value in path.values(event.item))
        text = next((value for value in shown if isinstance(value, str)), "")
        sender = f"+{event.item['senderPhoneNumber'].removeprefix('+')}"[: http_intake.LONGEST_ADDRESS]
        return Inbound(
            operator_id=self.operator.id,
            sender=sender,
            recipient=self.address,
            text=text[: http_intake.LONGEST_TEXT],
            occurred_at=now,
            raw=_raw(event, "sentAt"),
            handle=_handle(sender, event.item),
        )


def _handle(sender: str, item: dict[str, Any]) -> str | None:
    """What a message is known by if it comes again: the reference has a messageId, the guide an eventId."""
    own = item.get("messageId") or item.get("eventId")
    # The handset's own: another's may be the same.
    return f"{sender}/{own}" if isinstance(own, str) else None


def asks(document: Any) -> bool:
    """Whether a post only asks if the URL is ours."""
    return isinstance(document, dict) and "clientToken" in document and "message" not in document


def agent_id(reader: Reader) -> str:
    """The agent's id, as requests have it.

    Raises:
        OperatorSettingsError: there is none, or it is none.
    """
    found = reader.needed("agent_id")
    if not found.isascii() or not found.isprintable() or any(each in found for each in " /?&#"):
        raise reader.wrong("agent_id", "the id of an agent, such as my_agent_ab12cd@rbm.goog")
    return found


def bare(agent: str) -> str:
    """An agent's id as it is compared: with its domain and without it is the same."""
    return agent.removesuffix(_DOMAIN).casefold()


def read(reader: Reader) -> RcsMap:
    """The map in an operator's settings.

    Raises:
        OperatorSettingsError: says which setting, and what it may be.
    """
    agent = agent_id(reader)
    push_token = reader.secret("intake_token")
    if push_token and len(push_token) < 12:
        raise OperatorSettingsError(
            f"{reader.operator.slug}: the secret intake_token has fewer than 12 characters: it could be guessed."
        )
    address = reader.text("address", agent.removesuffix(_DOMAIN))
    if not 0 < len(address) <= http_intake.LONGEST_ADDRESS:
        raise reader.wrong("address", f"a name of at most {http_intake.LONGEST_ADDRESS} characters")
    door = Door(reader.secret("client_token"), push_token)
    return RcsMap(reader.operator, door, bare(agent), address)


def _document(body: bytes) -> Any:
    try:
        return http_intake.document(body)
    except (ValueError, RecursionError):
        return None


def _data(document: Any) -> bytes | None:
    """What Pub/Sub wraps: ``message.data``, decoded."""
    message = document.get("message") if isinstance(document, dict) else None
    data = message.get("data") if isinstance(message, dict) else None
    try:
        return base64.b64decode(data, validate=True) if isinstance(data, str) else None
    except (binascii.Error, ValueError):
        return None


def _raw(event: Event, name: str) -> dict[str, Any]:
    at = http_intake.moment(str(event.item.get("sendTime", "")))
    return http_intake.kept(event.item) | ({} if at is None else {name: at.isoformat()})
