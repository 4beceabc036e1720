"""The format ``octopush``: its three callbacks (dev.octopush.com, "Callbacks"; contract §2.1).

Dates have no zone there; the French platform means its own, so these are Paris time whatever this server's is.
"""

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from webhooks.formats import sources
from webhooks.formats.sources import Details, Source

ZONE: Final = ZoneInfo("Europe/Paris")
# Seconds that an endpoint has to answer in.
DEADLINE: Final = 1.0
# By type of event. ACK is "acknowledged by first carrier"; PROCESSED and READ are of its newer words.
STATUSES: Final = {
    "message.accepted": "PROCESSED",
    "message.sent": "ACK",
    "message.delivered": "DELIVERED",
    "message.read": "READ",
    "message.failed": "NOT_DELIVERED",
    "message.expired": "NOT_DELIVERED",
    "message.rejected": "NOT_ALLOWED",
    "message.canceled": "NOT_DELIVERED",
}
# Why says more than that.
_REASONS: Final = {
    "INVALID_RECIPIENT": "BAD_DESTINATION",
    "RECIPIENT_OPTED_OUT": "BLACKLISTED_NUMBER",
    "NO_ROUTE": "NOT_ALLOWED",
}


def body(source: Source, details: Details | None) -> dict[str, Any] | None:
    """A delivery receipt, a reply or an opt-out; None for an event that Octopush does not have.

    ``meta_data`` is the message's metadata. A reply has its date under both names that the documentation gives it.
    """
    if source.type in STATUSES:
        return {
            "channel": source.channel,
            "message_id": source.message_id,
            "number": source.recipient,
            "status": _REASONS.get(source.error_code or "", STATUSES[source.type]),
            "delivery_date": _date(source.occurred_at),
            "meta_data": sources.metadata(source.metadata),
        }
    if source.type == "message.received":
        return _reply(source)
    return _opt_out(source, details) if source.type == "contact.opted_out" else None


def _reply(source: Source) -> dict[str, Any]:
    data = sources.data(source)
    at = _date(source.occurred_at)
    return {
        "message_id": data["inReplyTo"],
        "number": data["from"],
        "text": data["text"],
        "sim_card_number": data["to"],
        "reception_date": at,
        "answer_date": at,
    }


def _opt_out(source: Source, details: Details | None) -> dict[str, Any]:
    data = sources.data(source)
    return {
        "message_id": None if details is None else details.message_id,
        "number": data["phone"],
        "text": data["text"] or "",
        "stop_date": _date(source.occurred_at),
    }


def _date(at: datetime) -> str:
    return at.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")
