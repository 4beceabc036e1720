"""What handsets send: stored before the operator gets its answer, and acted upon once its tenant is known.

What a message brings about is one transaction with it: the consent it changes, the end of what waits for who opted
out, its events and their callbacks, and the reply to its keyword. So a message that is delivered again by its
operator's mistake is one more message, but nothing is half done.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from gateway import answered, arrays, errors, ids, keywords, numbers, opt_outs, submission, text
from gateway.answered import Answered
from gateway.hooks import Fact, hooks
from gateway.keywords import Action, Rule
from gateway.models import Event, InboundMessage, Message, OptOut
from gateway.opt_outs import OPTED_IN, OPTED_OUT
from gateway.storing import Submission
from gateway.submission import Refused

log = logging.getLogger(__name__)

RECEIVED = "message.received"
# A message answers one that was sent no longer ago.
ANSWERS_WITHIN = timedelta(days=7)
# What consent rules ask for goes to those who opted out, too; a tenant's own replies do not.
_EXEMPT = frozenset({Action.OPT_OUT, Action.OPT_IN, Action.HELP})
# The same reply goes to the same handset no more often: two machines could else talk to each other for ever.
REPLIES_EVERY = timedelta(seconds=60)
# Nobody expects an answer to what was taken up later: a number that was nobody's, a backlog of the operator's.
REPLIES_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message from a handset. ``operator`` is a slug.

    ``lane`` is that operator's id where replies can go by it now; 0 leaves it to routing.
    """

    operator: str
    sender: str
    recipient: str
    text: str
    received_at: datetime
    raw: dict[str, Any]
    channel: str = "sms"
    lane: int = 0


def store(*, arrivals: Sequence[Arrival]) -> None:
    """Keep those whose tenant is not known."""
    InboundMessage.objects.bulk_create(_rows([_clean(arrival) for arrival in arrivals]))


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
    clean = _clean(arrival)
    return replace(clean, sender=phone(clean.sender))


def _clean(arrival: Arrival) -> Arrival:
    return replace(
        arrival,
        sender=plain(arrival.sender),
        recipient=plain(arrival.recipient),
        text=plain(arrival.text),
    )


def plain(given: str) -> str:
    """Without what PostgreSQL's text cannot hold, NUL and halves of surrogate pairs: U+FFFD; raw bytes keep it."""
    if "\0" in given:
        given = given.replace("\0", "\ufffd")
    try:
        given.encode()
    except UnicodeEncodeError:
        return given.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
    return given


def _rows(arrivals: Sequence[Arrival]) -> list[InboundMessage]:
    return [
        InboundMessage(
            id=key,
            operator=arrival.operator,
            channel=arrival.channel,
            sender=arrival.sender,
            recipient=arrival.recipient,
            text=arrival.text,
            raw=arrival.raw,
            received_at=arrival.received_at,
        )
        for key, arrival in zip(ids.new(len(arrivals)), arrivals, strict=True)
    ]


def _receive(tenant_id: int, arrivals: Sequence[Arrival]) -> list[InboundMessage]:
    rows = _rows(arrivals)
    rules = keywords.match(tenant_id=tenant_id, texts=[row.text for row in rows])
    answers = answered.find(
        tenant_id=tenant_id,
        phones=[row.sender for row in rows],
        numbers=[row.recipient for row in rows],
        within=ANSWERS_WITHIN,
    )
    told: dict[int, list[_Told]] = {}
    for place, (row, rule) in enumerate(zip(rows, rules, strict=True)):
        row.tenant_id = tenant_id
        message = answers.get(place)
        row.in_reply_to = None if message is None else message.id
        if rule is not None:
            row.keyword, row.action = rule.keyword, rule.action
        told[place] = [_received(row, rule, message)]
    InboundMessage.objects.bulk_create(rows)
    changed = _change_consents(tenant_id, rows)
    for place, type_ in changed.items():
        told[place].append(_consent(rows[place], type_))
    _tell(tenant_id, [each for several in told.values() for each in several])
    replies = _replies(tenant_id, rows, rules, changed)
    _send({place: _reply(tenant_id, rows[place], rule) for place, rule in replies.items()}, arrivals)
    return rows


class _Told(NamedTuple):
    """An event about an inbound message, and where it goes besides the webhooks."""

    row: InboundMessage
    type: str
    data: dict[str, Any]
    callback_url: str | None = None


def _received(row: InboundMessage, rule: Rule | None, message: Answered | None) -> _Told:
    """The event of its coming."""
    url = None if rule is None else rule.callback_url
    data = {
        "channel": row.channel,
        "from": row.sender,
        "to": row.recipient,
        "text": row.text,
        "keyword": row.keyword,
        "action": row.action,
        "inReplyTo": None if message is None else str(message.id),
        "clientMessageId": None if message is None else message.client_message_id,
        "metadata": (message and message.metadata) or {},
        "callbackUrl": url,
    }
    return _Told(row, RECEIVED, data, url)


def _change_consents(tenant_id: int, rows: Sequence[InboundMessage]) -> dict[int, str]:
    """Opt handsets out of the tenant, or in again; which event that is, by place, where it changed anything.

    A handset's first wish of a batch goes with the others' first ones, then the second ones.
    """
    changed: dict[int, str] = {}
    for wishes in _rounds(rows):
        outs = [place for place in wishes if rows[place].action == Action.OPT_OUT]
        changed |= dict.fromkeys(_opted_out(tenant_id, rows, outs), OPTED_OUT)
        ins = [place for place in wishes if rows[place].action == Action.OPT_IN]
        changed |= dict.fromkeys(_opted_in(tenant_id, rows, ins), OPTED_IN)
    return changed


def _rounds(rows: Sequence[InboundMessage]) -> Iterable[list[int]]:
    """The places of those that want a consent changed and have a number; each handset's once in a round."""
    rounds: list[list[int]] = []
    times: Counter[str] = Counter()
    for place, row in enumerate(rows):
        if row.action in {Action.OPT_OUT, Action.OPT_IN} and _is_number(row.sender):
            number = times[row.sender]
            times[row.sender] += 1
            if number == len(rounds):
                rounds.append([])
            rounds[number].append(place)
    return rounds


def _opted_out(tenant_id: int, rows: Sequence[InboundMessage], places: Sequence[int]) -> list[int]:
    """The places of those who were not out before."""
    if not places:
        return []
    wanted = [
        opt_outs.Row(row.sender, "", row.keyword, row.text, row.id)
        for row in (rows[place] for place in places)
    ]
    made = opt_outs.put(tenant_id=tenant_id, rows=wanted, source=OptOut.Source.KEYWORD)
    return [place for place, (_key, new) in zip(places, made, strict=True) if new]


def _opted_in(tenant_id: int, rows: Sequence[InboundMessage], places: Sequence[int]) -> list[int]:
    """The places of those who were out: of the tenant, or of the number that they wrote to; of others they stay."""
    if not places:
        return []
    wanted = [(rows[place].sender, rows[place].recipient) for place in places]
    lifted = opt_outs.lift(tenant_id=tenant_id, wanted=wanted)
    return [place for place in places if rows[place].sender in lifted]


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


def _replies(
    tenant_id: int,
    rows: Sequence[InboundMessage],
    rules: Sequence[Rule | None],
    changed: dict[int, str],
) -> dict[int, Rule]:
    """The rules that reply, by place: what should change a consent only where it did, others to nobody twice in a
    while."""
    wanted = [
        (place, row, rule)
        for place, (row, rule) in enumerate(zip(rows, rules, strict=True))
        if rule is not None and rule.reply_text is not None and _can_reply(row)
    ]
    had = _had(tenant_id, [row for _place, row, rule in wanted if not _is_consent(rule)])
    replies: dict[int, Rule] = {}
    for place, row, rule in wanted:
        same = (row.sender, rule.reply_text or "")
        if place in changed if _is_consent(rule) else same not in had:
            replies[place] = rule
            had.add(same)
    return replies


def _is_consent(rule: Rule) -> bool:
    return rule.action in {Action.OPT_OUT, Action.OPT_IN}


def _can_reply(row: InboundMessage) -> bool:
    late = datetime.now(tz=UTC) - row.received_at > REPLIES_WITHIN
    return not late and row.sender != row.recipient and _is_number(row.sender)


def _had(tenant_id: int, rows: Sequence[InboundMessage]) -> set[tuple[str, str]]:
    """The recipient and text of what these handsets were sent just now."""
    if not rows:
        return set()
    since = ids.floor(datetime.now(tz=UTC) - REPLIES_EVERY)
    sent = Message.objects.for_tenant(tenant_id).filter(
        recipient__in={row.sender for row in rows}, id__gte=since, text__isnull=False
    )
    return {(recipient, text or "") for recipient, text in sent.values_list("recipient", "text")}


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


# Where a reply waits is where it goes from; a relay that finds the operator down moves it on.
_STEER = """
UPDATE gateway_duemessage d SET lane = n.lane
FROM unnest(%s::uuid[], %s::int[]) AS n(id, lane)
WHERE d.message_id = n.id
"""


def _send(replies: dict[int, Submission], arrivals: Sequence[Arrival]) -> None:
    """Submit the replies, by place, and send each by the operator that brought what it answers."""
    if not replies:
        return
    outcomes = submission.accept(submissions=list(replies.values()), now=datetime.now(tz=UTC))
    steered: dict[str, int] = {}
    for place, outcome in zip(replies, outcomes, strict=True):
        if isinstance(outcome, Refused):
            log.info("inbound.reply_refused", extra={"reason": outcome.problem.code})
        elif arrivals[place].lane:
            steered[outcome.id] = arrivals[place].lane
    if steered:
        with connection.cursor() as cursor:
            cursor.execute(_STEER, [arrays.plain(steered), arrays.numbers(steered.values())])
