"""What handsets send: stored before the operator gets its answer, and acted upon once its tenant is known.

What a message brings about is one transaction with it: the consent it changes, its events and their callbacks, and
the reply to its keyword. So a message that is delivered again by its operator's mistake is one more message, but
nothing is half done.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from gateway import arrays, errors, ids, keywords, numbers, opt_outs, submission, text
from gateway.hooks import Fact, hooks
from gateway.keywords import Action, Rule
from gateway.models import Event, InboundMessage, Message, OptOut
from gateway.storing import Submission
from gateway.submission import Refused

log = logging.getLogger(__name__)

RECEIVED, OPTED_OUT, OPTED_IN = "message.received", "contact.opted_out", "contact.opted_in"
# A message answers one that was sent no longer ago; which was asked for, at most, so long before it was sent.
ANSWERS_WITHIN = timedelta(days=7)
SCHEDULED_WITHIN = timedelta(days=35)
# What consent rules ask for goes to those who opted out, too; a tenant's own replies do not.
_EXEMPT = frozenset({Action.OPT_OUT, Action.OPT_IN, Action.HELP})
# The same reply goes to the same handset no more often: two machines could else talk to each other for ever.
REPLIES_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message from a handset. ``operator`` is a slug."""

    operator: str
    sender: str
    recipient: str
    text: str
    received_at: datetime
    raw: dict[str, Any]
    channel: str = "sms"


def store(*, arrivals: Sequence[Arrival]) -> None:
    """Keep those whose tenant is not known."""
    InboundMessage.objects.bulk_create(
        _row(key, arrival) for key, arrival in zip(ids.new(len(arrivals)), arrivals, strict=True)
    )


def receive(*, tenant_id: int, arrivals: Sequence[Arrival]) -> list[InboundMessage]:
    """Keep a tenant's, do what their keywords say, tell its webhooks, reply; in one transaction.

    Returns the messages as they are kept, in order. A reply that is refused (no route, no room, of the tenant's own
    making to one who opted out) is left out.
    """
    if not arrivals:
        return []
    with transaction.atomic():
        return _receive(tenant_id, [_normalised(arrival) for arrival in arrivals])


def listed(*, tenant_id: int, filters: dict[str, Any]) -> QuerySet[InboundMessage, InboundMessage]:
    """The tenant's messages that match the columns in ``filters``, newest first."""
    return InboundMessage.objects.for_tenant(tenant_id).filter(**filters).order_by("-id")


def read(*, tenant_id: int, inbound_id: UUID) -> InboundMessage:
    """One message.

    Raises:
        errors.NotFound: the tenant has no such one.
    """
    found = InboundMessage.objects.for_tenant(tenant_id).filter(pk=inbound_id).first()
    if found is None:
        raise errors.NotFound
    return found


def phone(sender: str) -> str:
    """A handset's number as E.164, also of one that an operator gives without its plus; else as it is."""
    for candidate in (sender, f"+{sender}"):
        try:
            return numbers.normalise(candidate)
        except errors.InvalidRecipient:
            continue
    return sender


def _is_number(sender: str) -> bool:
    """Whether it can be written to."""
    try:
        return numbers.normalise(sender) == sender
    except errors.InvalidRecipient:
        return False


def _normalised(arrival: Arrival) -> Arrival:
    return replace(arrival, sender=phone(arrival.sender), text=_plain(arrival.text))


def _plain(given: str) -> str:
    """Without NUL, which PostgreSQL's text cannot hold: U+FFFD; the raw bytes keep it."""
    return given.replace("\0", "\ufffd")


def _row(key: UUID, arrival: Arrival) -> InboundMessage:
    return InboundMessage(
        id=key,
        operator=arrival.operator,
        channel=arrival.channel,
        sender=arrival.sender,
        recipient=arrival.recipient,
        text=_plain(arrival.text),
        raw=arrival.raw,
        received_at=arrival.received_at,
    )


def _receive(tenant_id: int, arrivals: Sequence[Arrival]) -> list[InboundMessage]:
    rules = keywords.match(tenant_id=tenant_id, texts=[arrival.text for arrival in arrivals])
    rows = [_row(key, arrival) for key, arrival in zip(ids.new(len(arrivals)), arrivals, strict=True)]
    answered = _answered(tenant_id, arrivals)
    told: list[_Told] = []
    replies: list[Submission] = []
    # By handset, so that of two batches neither waits for an opt-out while the other waits for it.
    for place in sorted(range(len(rows)), key=lambda place: rows[place].sender):
        row, rule, message = rows[place], rules[place], answered.get(place)
        row.tenant_id = tenant_id
        row.in_reply_to = None if message is None else message.id
        if rule is not None:
            row.keyword, row.action = rule.keyword, rule.action
        told.append(_received(row, rule, message))
        changed = _change_consent(tenant_id, row)
        if changed is not None:
            told.append(changed)
        if rule is not None and _deserves_reply(row, rule, replies, changed=changed is not None):
            replies.append(_reply(tenant_id, row, rule))
    InboundMessage.objects.bulk_create(rows)
    _tell(tenant_id, told)
    _send(replies)
    return rows


class _Answered(NamedTuple):
    """The message that a handset's is an answer to."""

    id: UUID
    client_message_id: str | None
    metadata: dict[str, str] | None


# Of the last few: one from the very number written to before others, one that an operator has before one that waits.
_ANSWERED = """
SELECT asked.place, found.id, found.client_message_id, found.metadata
FROM unnest(%(places)s::int[], %(phones)s::text[], %(numbers)s::text[]) AS asked(place, phone, number)
CROSS JOIN LATERAL (
    SELECT id, client_message_id, metadata::text FROM (
        SELECT id, client_message_id, metadata, sender, sent_at FROM gateway_message
        WHERE tenant_id = %(tenant)s AND recipient = asked.phone AND id >= %(first)s AND id < %(last)s
          AND NOT exempt AND status NOT IN ('scheduled', 'canceled', 'rejected')
          AND coalesce(send_at, created_at) >= %(since)s
        ORDER BY id DESC LIMIT 20
    ) last
    ORDER BY (lower(ltrim(sender, '+')) = lower(ltrim(asked.number, '+'))) IS TRUE DESC, sent_at IS NULL, id DESC
    LIMIT 1
) found
"""


def _answered(tenant_id: int, arrivals: Sequence[Arrival]) -> dict[int, _Answered]:
    """The messages that handsets' answer, by place: of the last days, else one that was scheduled before them."""
    now = datetime.now(tz=UTC)
    since = now - ANSWERS_WITHIN
    answered: dict[int, _Answered] = {}
    # Each day is a partition to look into, and few messages are scheduled that far ahead.
    for first, last in ((since, now + timedelta(days=1)), (since - SCHEDULED_WITHIN, since)):
        places = [place for place in range(len(arrivals)) if place not in answered]
        if places:
            given: dict[str, Any] = {
                "tenant": tenant_id,
                "since": since,
                "first": ids.floor(first),
                "last": ids.floor(last),
                "places": arrays.numbers(places),
                "phones": arrays.texts([arrivals[place].sender for place in places]),
                "numbers": arrays.texts([arrivals[place].recipient for place in places]),
            }
            with connection.cursor() as cursor:
                cursor.execute(_ANSWERED, given)
                for place, key, client_id, metadata in cursor.fetchall():
                    answered[place] = _Answered(key, client_id, metadata and json.loads(metadata))
    return answered


class _Told(NamedTuple):
    """An event about an inbound message, and where it goes besides the webhooks."""

    row: InboundMessage
    type: str
    data: dict[str, Any]
    callback_url: str | None = None


def _received(row: InboundMessage, rule: Rule | None, answered: _Answered | None) -> _Told:
    """The event of its coming."""
    url = None if rule is None else rule.callback_url
    data = {
        "channel": row.channel,
        "from": row.sender,
        "to": row.recipient,
        "text": row.text,
        "keyword": row.keyword,
        "action": row.action,
        "inReplyTo": None if answered is None else str(answered.id),
        "clientMessageId": None if answered is None else answered.client_message_id,
        "metadata": (answered and answered.metadata) or {},
        "callbackUrl": url,
    }
    return _Told(row, RECEIVED, data, url)


def _change_consent(tenant_id: int, row: InboundMessage) -> _Told | None:
    """Opt the handset out of the tenant, or in again; None when that is how it was, or it has no number."""
    if not _is_number(row.sender):
        return None
    if row.action == Action.OPT_OUT:
        _kept, new = opt_outs.add(
            tenant_id=tenant_id,
            phone=row.sender,
            sender="",
            source=OptOut.Source.KEYWORD,
            reason=row.keyword,
            text=row.text,
            inbound_id=row.id,
        )
        return _consent(row, OPTED_OUT) if new else None
    if row.action == Action.OPT_IN:
        # Of the tenant, and of the number that it wrote to; what it does not want of others stays.
        removed = [
            opt_outs.remove(tenant_id=tenant_id, phone=row.sender, sender=sender)
            for sender in ("", row.recipient)
        ]
        return _consent(row, OPTED_IN) if any(removed) else None
    return None


def _consent(row: InboundMessage, type_: str) -> _Told:
    data = {
        "phone": row.sender,
        "scope": "tenant",
        "sender": None,
        "reason": row.keyword,
        "text": row.text,
        "inboundId": str(row.id),
        "channel": row.channel,
    }
    return _Told(row, type_, data)


def _deserves_reply(row: InboundMessage, rule: Rule, replies: Sequence[Submission], *, changed: bool) -> bool:
    """Whether the keyword has a reply for it: one that should change a consent and does not has none, nor one that
    had the same just now."""
    reply_text = rule.reply_text
    if reply_text is None or row.sender == row.recipient or not _is_number(row.sender):
        return False
    if changed or rule.action in {Action.OPT_OUT, Action.OPT_IN}:
        return changed
    if any(reply.recipient == row.sender and reply.text == reply_text for reply in replies):
        return False
    since = ids.floor(datetime.now(tz=UTC) - REPLIES_EVERY)
    sent = Message.objects.for_tenant(row.tenant_id or 0).filter(recipient=row.sender, id__gte=since)
    return not sent.filter(text=reply_text).exists()


def _reply(tenant_id: int, row: InboundMessage, rule: Rule) -> Submission:
    encoding, parts = text.analyse(rule.reply_text or "") if row.channel == "sms" else (None, 1)
    return Submission(
        tenant_id=tenant_id,
        recipient=row.sender,
        channel=row.channel,
        sender=row.recipient or None,
        text=rule.reply_text,
        encoding=encoding,
        parts=parts,
        exempt=rule.action in _EXEMPT,
    )


def _tell(tenant_id: int, told: Sequence[_Told]) -> None:
    """Write the events and queue their callbacks."""
    sequences: dict[UUID, int] = {}
    events: list[Event] = []
    facts: list[Fact] = []
    for key, (row, type_, data, callback_url) in zip(ids.new(len(told)), told, strict=True):
        sequences[row.id] = sequence = sequences.get(row.id, 0) + 1
        events.append(
            Event(
                id=key,
                tenant_id=tenant_id,
                message_id=row.id,
                type=type_,
                sequence=sequence,
                occurred_at=row.received_at,
                operator=row.operator,
                data=data,
            )
        )
        facts.append(Fact(key, tenant_id, row.id, type_, callback_url))
    Event.objects.bulk_create(events)
    for fan_out in hooks.fan_out:
        fan_out(facts)


def _send(replies: Sequence[Submission]) -> None:
    if not replies:
        return
    for outcome in submission.accept(submissions=replies, now=datetime.now(tz=UTC)):
        if isinstance(outcome, Refused):
            log.info("inbound.reply_refused", extra={"reason": outcome.problem.code})
