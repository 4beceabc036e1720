"""The format ``messagemedia``: the bodies that the vendor's sample templates give (contract §4), and its words."""

from typing import Any, Final

from webhooks.formats import sources
from webhooks.formats.sources import Details, Source

VENDOR: Final = "Trunkline"
# By type of event. What the vendor has no word for goes by the nearest: nothing more was sent of what was canceled.
STATUSES: Final = {
    "message.accepted": "enroute",
    "message.sent": "submitted",
    "message.delivered": "delivered",
    "message.read": "delivered",
    "message.failed": "failed",
    "message.expired": "expired",
    "message.rejected": "rejected",
    "message.canceled": "rejected",
}
# Those that the vendor has as well.
_REPORTED = STATUSES.keys() - {"message.read", "message.canceled"}


def body(source: Source, details: Details) -> dict[str, Any] | None:
    """A delivery report, a reply or an opt-out; None for an event that the vendor does not have.

    ``message_id`` is left out where a handset answers nothing.
    """
    if source.type in _REPORTED:
        return _report(source, details)
    if source.type == "message.received":
        return _reply(source, details)
    return _opt_out(source, details) if source.type == "contact.opted_out" else None


def _report(source: Source, details: Details) -> dict[str, Any]:
    at = sources.milliseconds(source.occurred_at)
    return {
        "delivery_report_id": source.event_id,
        # The vendor's word for whom the message went to.
        "source_number": source.recipient,
        "date_received": at,
        "status": STATUSES[source.type],
        "delay": "0",
        "submitted_date": at,
        "message_id": source.message_id,
        "original_text": details.text or "",
        "vendor_account_id": {"vendor_id": VENDOR, "account_id": details.account},
        "error_code": str(sources.code(source) or ""),
        "metadata": sources.metadata(source.metadata),
    }


def _reply(source: Source, details: Details) -> dict[str, Any]:
    data = sources.data(source)
    found = {
        "account_id": details.account,
        "reply_id": source.message_id,
        "destination_number": data["to"],
        "source_number": data["from"],
        "date_received": sources.milliseconds(source.occurred_at),
        "message_id": data["inReplyTo"],
        "content": data["text"],
        "metadata": data["metadata"],
    }
    return _without_null_id(found)


def _opt_out(source: Source, details: Details) -> dict[str, Any]:
    data = sources.data(source)
    found = {
        "notification_id": source.event_id,
        "account_id": details.account,
        "destination_number": details.number or data["sender"] or "",
        "source_number": data["phone"],
        "date_received": sources.milliseconds(source.occurred_at),
        "message_id": details.message_id,
        "content": data["text"] or "",
        "metadata": sources.metadata(details.metadata),
    }
    return _without_null_id(found)


def _without_null_id(found: dict[str, Any]) -> dict[str, Any]:
    if found["message_id"] is None:
        del found["message_id"]
    return found
