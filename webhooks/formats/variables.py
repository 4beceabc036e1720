"""What templates and URLs can refer to, by kind of event (contract §4's table); what is not there is undefined."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from webhooks import catalogue, velocity
from webhooks.formats import messagemedia, sources
from webhooks.formats.sources import Details, Source
from webhooks.velocity import Map, Value


class _Known(NamedTuple):
    """An event and all about it; ``data`` is {} for an event of a message of ours."""

    source: Source
    details: Details
    data: dict[str, Any]
    retries: int


_Read = Callable[[_Known], Value]


def of(*, source: Source, details: Details | None, retries: int, names: Collection[str]) -> dict[str, Value]:
    """Those of ``names`` that the event has; ``retries`` is how many attempts came before this one."""
    known = _Known(source, details or _NO_DETAILS, _data(source), retries)
    table = _TABLES.get(source.type, _REPORT)
    return {name: table[name](known) for name in names if name in table}


def names() -> dict[str, list[str]]:
    """The variables of each kind of event, sorted."""
    return {
        "a delivery report": sorted(_REPORT),
        "a reply": sorted(_REPLY),
        "an opt-out or opt-in": sorted(_CONSENT),
    }


def need_details(*, type: str, names: Collection[str]) -> bool:  # noqa: A002 - the event's word
    """Whether any of the names has its value from :class:`~webhooks.formats.sources.Details`."""
    return not _OF_DETAILS.get(type, _OF_REPORT_DETAILS).isdisjoint(names)


def _data(source: Source) -> dict[str, Any]:
    return sources.data(source) if source.type in catalogue.OF_NO_MESSAGE else {}


def _at(known: _Known) -> Value:
    return sources.milliseconds(known.source.occurred_at)


def _map(found: dict[str, Any]) -> Map:
    return Map({name: value if isinstance(value, str) else str(value) for name, value in found.items()})


def _both(first: str, second: str, read: _Read) -> dict[str, _Read]:
    return {first: read, second: read}


_NO_DETAILS = Details(account="")
_ALL: dict[str, _Read] = {
    "accountId": lambda known: known.details.account,
    "vendorId": lambda known: messagemedia.VENDOR,
    "submittedTimestamp": _at,
    "receivedTimestamp": _at,
    "retryCount": lambda known: known.retries,
    "eventId": lambda known: known.source.event_id,
    "eventType": lambda known: known.source.type,
}
_REPORT: dict[str, _Read] = {
    **_ALL,
    **_both("format", "type", lambda known: known.source.channel.upper()),
    **_both("mtId", "messageId", lambda known: known.source.message_id),
    **_both("drId", "reportId", lambda known: known.source.event_id),
    **_both("mtContent", "messageContent", lambda known: known.details.text),
    "status": lambda known: messagemedia.STATUSES.get(known.source.type),
    "statusCode": lambda known: sources.code(known.source),
    "metadata": lambda known: _map(sources.metadata(known.source.metadata)),
    # The vendor's word for whom the message went to.
    "sourceAddress": lambda known: known.source.recipient,
    "billingUnits": lambda known: known.source.parts,
    "clientMessageId": lambda known: known.source.client_message_id,
    "errorCode": lambda known: known.source.error_code,
}
_HANDSET: dict[str, _Read] = {
    **_ALL,
    **_both("format", "type", lambda known: known.data["channel"].upper()),
    **_both("mtContent", "messageContent", lambda known: known.details.text),
    **_both("moContent", "replyContent", lambda known: known.data["text"]),
}
_REPLY: dict[str, _Read] = {
    **_HANDSET,
    **_both("mtId", "messageId", lambda known: known.data["inReplyTo"]),
    **_both("moId", "replyId", lambda known: known.source.message_id),
    "metadata": lambda known: _map(known.data["metadata"]),
    "sourceAddress": lambda known: known.data["from"],
    "destinationAddress": lambda known: known.data["to"],
    "clientMessageId": lambda known: known.data["clientMessageId"],
}
_CONSENT: dict[str, _Read] = {
    **_HANDSET,
    **_both("mtId", "messageId", lambda known: known.details.message_id),
    "notificationId": lambda known: known.source.event_id,
    "metadata": lambda known: _map(sources.metadata(known.details.metadata)),
    "sourceAddress": lambda known: known.data["phone"],
    "destinationAddress": lambda known: known.details.number or known.data["sender"],
}
_TABLES = {
    catalogue.RECEIVED: _REPLY,
    "contact.opted_out": _CONSENT,
    "contact.opted_in": _CONSENT,
    catalogue.DISABLED: _ALL | {"notificationId": lambda known: known.source.event_id},
}
_OF_REPORT_DETAILS = frozenset({"accountId", "mtContent", "messageContent"})
_OF_CONSENT_DETAILS = _OF_REPORT_DETAILS | {"mtId", "messageId", "metadata", "destinationAddress"}
_OF_DETAILS = {
    "contact.opted_out": _OF_CONSENT_DETAILS,
    "contact.opted_in": _OF_CONSENT_DETAILS,
    catalogue.DISABLED: frozenset({"accountId"}),
}

assert (_REPORT.keys() | _REPLY.keys() | _CONSENT.keys()) < velocity.VARIABLES
