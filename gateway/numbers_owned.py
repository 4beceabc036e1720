"""Whose the numbers are that handsets write to.

Of a number's rows those for the operator that brought the message come before those for all; of each the one whose
keyword is the whole text, then its first word, then the one without a keyword. But where several tenants share a
number and no keyword decides, it is for the one that last wrote to the handset from it, so that a bare STOP or answer
finds its way. What is left is nobody's.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from django.db import IntegrityError, connection, transaction

from gateway import answered, arrays, keywords
from gateway.inbound import ANSWERS_WITHIN, Arrival, phone
from gateway.models import Number, Tenant
from gateway.models.tenant import is_sandbox

CHANNELS = ("sms", "whatsapp", "rcs")
# A number that is given or taken away counts everywhere this soon.
FRESH_SECONDS = 2.0
LONGEST_NUMBER, LONGEST_KEYWORD = 32, 40
_SEPARATORS = str.maketrans("", "", " ()-./\u00a0")


class NumberError(ValueError):
    """It cannot be given or taken like that; the text says why and names the field."""


def canonical(given: str) -> str:
    """A number, short code or name as it is looked up: digits without a plus, letters in lower case."""
    return given.strip().removeprefix("+").casefold()


def written(given: str) -> str:
    """The same of what a person typed, as +1 (415) 555-0100.

    Raises:
        NumberError: it is empty, too long or not printable.
    """
    bare = given.translate(_SEPARATORS)
    found = canonical(bare if bare.removeprefix("+").isdecimal() else given)
    if not found or not found.isprintable() or len(found) > LONGEST_NUMBER:
        raise NumberError(f"the number must be digits or a name of at most {LONGEST_NUMBER} characters")
    return found


def word(given: str) -> str:
    """A keyword as it is compared.

    Raises:
        NumberError: it is too long, or nothing is left of it.
    """
    found = keywords.canonical(given)
    if len(found) > LONGEST_KEYWORD or (given and not found):
        raise NumberError(f"the keyword must be 1 to {LONGEST_KEYWORD} characters")
    if found and keywords.built_in_word(found) is not None:
        raise NumberError(f"the keyword {found} is every tenant's own: it finds who wrote last")
    return found


def give(
    *, number: str, tenant: Tenant, channel: str = "sms", keyword: str = "", operator: str = ""
) -> Number:
    """Give a tenant a number, or a keyword of a shared one.

    What came to it in the week before, while it was nobody's, is taken up within a minute.

    Raises:
        NumberError: it makes no sense, or somebody has it.
    """
    key = _key(number, channel, keyword, operator)
    if is_sandbox(tenant.pk):
        raise NumberError("the tenant must not be a sandbox: nothing reaches it but what is simulated")
    forget()
    try:
        with transaction.atomic():
            return Number.objects.create(tenant=tenant, **key)
    except IntegrityError as error:
        raise NumberError(f"{_named(key)} is {_holder(key)}'s already: remove it there first") from error


def take(
    *, number: str, tenant: Tenant, channel: str = "sms", keyword: str = "", operator: str = ""
) -> Number:
    """Take away from a tenant what :func:`give` gave; returns what it was.

    Raises:
        NumberError: the tenant does not have it.
    """
    key = _key(number, channel, keyword, operator)
    found = Number.objects.for_tenant(tenant.pk).filter(**key).first()
    if found is None:
        raise NumberError(f"the tenant {tenant.slug!r} does not have {_named(key)}")
    Number.objects.for_tenant(tenant.pk).filter(pk=found.pk).delete()
    forget()
    return found


def _key(number: str, channel: str, keyword: str, operator: str) -> dict[str, str]:
    if channel not in CHANNELS:
        raise NumberError(f"the channel must be one of {', '.join(CHANNELS)}")
    return {"number": written(number), "channel": channel, "keyword": word(keyword), "operator": operator}


def _named(key: dict[str, str]) -> str:
    more = [f"keyword {key['keyword']}"] if key["keyword"] else []
    more += [f"operator {key['operator']}"] if key["operator"] else []
    return f"the number {key['number']} ({', '.join([key['channel'], *more])})"


def _holder(key: dict[str, str]) -> str:
    found = Number.objects.select_related("tenant").filter(**key).first()
    return "somebody" if found is None else repr(found.tenant.slug)


class _Row(NamedTuple):
    tenant_id: int
    keyword: str
    operator: str


class _Cache:
    """Rows by channel and number; of numbers that have none, too."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], tuple[_Row, ...]] = {}
        self.stale_at = 0.0


_cache = _Cache()


def forget() -> None:
    """Look every number up anew."""
    _cache.stale_at = 0.0


_ROWS = """
SELECT channel, number, tenant_id, keyword, operator FROM gateway_number
WHERE number = ANY(%s::text[]) AND channel = ANY(%s::text[])
"""


def _look_up(keys: set[tuple[str, str]]) -> dict[tuple[str, str], tuple[_Row, ...]]:
    """The rows of each; at most one query."""
    now = time.monotonic()
    if now >= _cache.stale_at:
        # Another thread may still be reading the old one.
        _cache.rows = {}
        _cache.stale_at = now + FRESH_SECONDS
    known = _cache.rows
    missing = keys - known.keys()
    if missing:
        found: dict[tuple[str, str], list[_Row]] = {key: [] for key in missing}
        channels = arrays.texts(sorted({channel for channel, _number in missing}))
        with connection.cursor() as cursor:
            cursor.execute(_ROWS, [arrays.texts([number for _channel, number in missing]), channels])
            for channel, number, *row in cursor.fetchall():
                if (channel, number) in found:
                    found[channel, number].append(_Row(*row))
        known.update((key, tuple(rows)) for key, rows in found.items())
    return known


def owners(*, arrivals: Sequence[Arrival]) -> list[int | None]:
    """The id of the tenant that each is for; None where there is none."""
    keys = [(arrival.channel, canonical(arrival.recipient)) for arrival in arrivals]
    rows = _look_up(set(keys))
    found: list[int | None] = []
    shared: dict[int, tuple[str, str, Sequence[int]]] = {}
    for place, (arrival, key) in enumerate(zip(arrivals, keys, strict=True)):
        of = [row for row in rows[key] if row.operator in {"", arrival.operator}]
        owner = _owner(of, arrival.text)
        found.append(None if owner is None else owner.tenant_id)
        # Only one that a keyword named is sure of a number that others have a share in.
        tenants = sorted({row.tenant_id for row in of})
        if len(tenants) > 1 and (owner is None or not owner.keyword):
            shared[place] = (phone(arrival.sender), key[1], tenants)
    for place, tenant_id in answered.last_writers(asked=shared, within=ANSWERS_WITHIN).items():
        found[place] = tenant_id
    return found


def _owner(rows: Sequence[_Row], text: str) -> _Row | None:
    if not rows:
        return None
    if len(rows) == 1 and not rows[0].keyword:
        return rows[0]
    first = keywords.canonical((text.split(maxsplit=1) or [""])[0])
    wanted = {keywords.canonical(text): 0, first: 1, "": 2}
    fitting = [row for row in rows if row.keyword in wanted]
    return min(fitting, key=lambda row: (not row.operator, wanted[row.keyword]), default=None)
