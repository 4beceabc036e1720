"""An event of each type as it might happen, for test calls."""

from datetime import UTC, datetime

import msgspec

from gateway import ids
from webhooks import catalogue
from webhooks.formats import sources
from webhooks.formats.sources import Details, Source

_HANDSET = "+14155550100"
_NUMBER = "+14155550199"
_METADATA = {"order": "42"}
_TEXT = "Your order 42 is on its way."


def source(event: str) -> Source:
    """A sample under new ids, as of now; ``event`` is any name that a webhook may subscribe to.

    Raises:
        ValueError: there is no such event.
    """
    if not catalogue.is_known(event):
        raise ValueError(f"no event {event}")
    # RECEIVED_MMS, which no channel of ours brings, looks like any message from a handset.
    type_ = catalogue.MESSAGEMEDIA.get(event, event) or catalogue.RECEIVED
    now = datetime.now(tz=UTC)
    own = type_ not in catalogue.OF_NO_MESSAGE
    status = type_.partition(".")[2]
    data = _data(type_, now)
    return Source(
        event_id=str(ids.one()),
        type=type_,
        status=status if own else None,
        sequence=2 if own else 1,
        occurred_at=now,
        operator=None if type_ in {"message.accepted", catalogue.DISABLED} else "demo",
        operator_code=None,
        error_code=_ERRORS.get(type_),
        data=None if own else msgspec.json.encode(data).decode(),
        message_id=str(ids.one()),
        batch_id=None,
        client_message_id="order-42" if own else None,
        channel="sms" if own else "",
        recipient=_HANDSET if own else "",
        sender=_NUMBER if own else None,
        parts=1 if own else 0,
        metadata=msgspec.json.encode(_METADATA).decode() if own else None,
        callback_url=None,
    )


def details(account: str) -> Details:
    """What goes with it, for a tenant's slug."""
    return Details(account, _NUMBER, str(ids.one()), _TEXT, msgspec.json.encode(_METADATA).decode())


_ERRORS = {
    "message.failed": "UNDELIVERABLE",
    "message.expired": "EXPIRED_AT_OPERATOR",
    "message.rejected": "NO_ROUTE",
}


def _data(type_: str, now: datetime) -> dict[str, object]:
    if type_ == catalogue.RECEIVED:
        return {
            "channel": "sms",
            "from": _HANDSET,
            "to": _NUMBER,
            "text": "Thank you",
            "keyword": None,
            "action": None,
            "inReplyTo": str(ids.one()),
            "clientMessageId": "order-42",
            "metadata": _METADATA,
        }
    if type_ == catalogue.DISABLED:
        return {
            "webhookId": str(ids.one()),
            "url": "https://hooks.example.com",
            "reason": "No callback succeeded for 5 days.",
            "disabledAt": sources.milliseconds(now),
        }
    return {
        "phone": _HANDSET,
        "scope": "tenant",
        "sender": None,
        "reason": "STOP" if type_ == "contact.opted_out" else "START",
        "text": "STOP" if type_ == "contact.opted_out" else "START",
        "inboundId": str(ids.one()),
        "channel": "sms",
    }
