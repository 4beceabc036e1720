"""What happens when a handset sends a certain word: a tenant's own rules, and those that every tenant has.

A word is compared without regard to case, form (NFKC), surrounding punctuation and the number of spaces: ``Stop.``
is STOP. A built-in rule keeps its word and action; its row is there only once a tenant has changed its reply. The
words and replies of those are in :mod:`gateway.consent_words`, and are compared without accents and inner spaces,
too: ``Arrêt`` is ARRET, ``Stop all`` is STOPALL.
"""

import re
import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from gateway import errors
from gateway.consent_words import BUILT_IN, REPLIES
from gateway.errors import Detail
from gateway.models import Keyword

Action, Match = Keyword.Action, Keyword.Match

LENGTH = 100
_NAMESPACE = UUID("8b1d6a0e-52f7-5d9c-9f0a-6c3e2b7d4a15")


@dataclass(frozen=True, slots=True)
class Rule:
    """A keyword as it is in force. The moments are None while a built-in one is as it came."""

    id: UUID
    keyword: str
    match: str
    action: str
    reply_text: str | None
    callback_url: str | None
    built_in: bool
    created_at: datetime | None
    updated_at: datetime | None


def canonical(text: str) -> str:
    """What is equal for texts that are one word to us, in capitals."""
    whole = unicodedata.normalize("NFKC", _torn.sub(_joined, text))
    folded = unicodedata.normalize("NFKC", whole.casefold().upper())
    bare = " ".join(folded.split())
    start, end = 0, len(bare)
    while start < end and _surrounds(bare[start]):
        start += 1
    while start < end and _surrounds(bare[end - 1]):
        end -= 1
    return bare[start:end] or bare


# NFKC puts a space into these: accents that stand alone, and two ligatures of several words.
_torn = re.compile(
    r"[\u00a8\u00af\u00b4\u00b8\u02d8-\u02dd\u037a\u0384\u0385\u1fbd-\u1fc1\u1fcd-\u1fcf\u1fdd-\u1fdf\u1fed\u1fee"
    r"\u1ffd\u1ffe\u2017\u203e\u309b\u309c\ufc5e-\ufc63\ufdfa\ufdfb\ufe49-\ufe4c\ufe70-\ufe7e\uffe3]"
)


def _joined(torn: re.Match[str]) -> str:
    """The character without its space; a lone accent is what many type for an apostrophe."""
    normal = unicodedata.normalize("NFKC", torn[0])
    return "'" if normal[0] == " " else normal.replace(" ", "")


def _surrounds(character: str) -> bool:
    """Whether it is no part of a word at its ends: spaces, punctuation, accents, what is not seen, what was NUL."""
    category = unicodedata.category(character)
    return character in " \ufffd" or category[0] == "P" or category in {"Sk", "Cf", "Cc"}


def built_in_word(word: str) -> str | None:
    """The built-in word that a canonical one is, accents and inner spaces or hyphens aside."""
    if word in BUILT_IN:
        return word
    if len(word) > _LONGEST_BUILT_IN:
        return None
    bare = "".join(
        character
        for character in unicodedata.normalize("NFD", word)
        if character not in " -'" and not unicodedata.combining(character)
    )
    return bare if bare in BUILT_IN else None


# What was folded away makes a text longer, not by much.
_LONGEST_BUILT_IN = 2 * max(map(len, BUILT_IN))


def built_in_id(*, tenant_id: int, word: str) -> UUID:
    """The id of a tenant's built-in rule: always the same."""
    return uuid.uuid5(_NAMESPACE, f"{tenant_id}:{word}")


def match(*, tenant_id: int, texts: Sequence[str]) -> list[Rule | None]:
    """The rule that each of a handset's texts calls for; one query.

    A rule for the whole text goes before one for its first word.
    """
    wanted = [(canonical(text), canonical((text.split() or [""])[0])) for text in texts]
    words = {word for pair in wanted for word in pair}
    built_in = {whole: word for whole, _first in wanted if (word := built_in_word(whole)) is not None}
    rows = _rows(tenant_id).filter(keyword__in=words.union(built_in.values()))
    rules = {rule.keyword: rule for rule in map(_rule, rows)}
    for whole, word in built_in.items():
        rules.setdefault(whole, rules.get(word) or _unchanged(tenant_id, word))
    return [_chosen(rules, whole, first) for whole, first in wanted]


def _chosen(rules: dict[str, Rule], whole: str, first: str) -> Rule | None:
    found = rules.get(whole)
    if found is None:
        found = rules.get(first)
        return found if found is not None and found.match == Match.FIRST_WORD else None
    return found


def listed(*, tenant_id: int, after: UUID | None, limit: int) -> list[Rule]:
    """At most ``limit`` rules that come after one: the tenant's own, newest first, then the built-in ones."""
    built_in = [built_in_id(tenant_id=tenant_id, word=word) for word in BUILT_IN]
    own: list[Rule] = []
    passed = 0
    if after in built_in:
        passed = built_in.index(after) + 1
    else:
        rows = _rows(tenant_id).exclude(keyword__in=BUILT_IN).order_by("-id")
        own = [_rule(row) for row in (rows if after is None else rows.filter(id__lt=after))[:limit]]
    words = list(BUILT_IN)[passed : passed + limit - len(own)]
    changed = {row.keyword: row for row in _rows(tenant_id).filter(keyword__in=words)} if words else {}
    return own + [_rule(changed[word]) if word in changed else _unchanged(tenant_id, word) for word in words]


def read(*, tenant_id: int, keyword_id: UUID) -> Rule:
    """One rule.

    Raises:
        errors.NotFound: the tenant has no such one.
    """
    row = _rows(tenant_id).filter(pk=keyword_id).first()
    if row is not None:
        return _rule(row)
    return _unchanged(tenant_id, _word_of(tenant_id, keyword_id))


def create(*, tenant_id: int, values: dict[str, Any]) -> Rule:
    """Make a rule of the columns in ``values``; ``keyword`` is canonical.

    Raises:
        errors.Invalid: it lacks what its match or action takes.
        errors.KeywordExists: there is one for the word, a built-in one included.
    """
    row = Keyword(tenant_id=tenant_id, **values)
    if (fault := _lacking(row)) is not None:
        raise errors.Invalid(f"{fault.field}: {fault.message}", details=[fault])
    if built_in_word(row.keyword) is not None:
        raise errors.KeywordExists("This keyword is built in: change its replyText with PATCH.")
    _save(row)
    return _rule(row)


def change(*, tenant_id: int, keyword_id: UUID, changes: dict[str, Any]) -> Rule:
    """Change columns of a rule; of a built-in one its reply and its URL. A ``reply_text`` of None there brings the
    reply back that it came with.

    Raises:
        errors.NotFound: the tenant has no such one.
        errors.BuiltInKeyword: it is built in, and its word, match or action were to become another.
        errors.KeywordExists: there is another rule for the word.
        errors.Unprocessable: the rule would lack what its match or action takes.
    """
    with transaction.atomic():
        row = _rows(tenant_id).filter(pk=keyword_id).select_for_update().first()
        if row is None:
            row = _made_of(tenant_id, _word_of(tenant_id, keyword_id))
        if row.keyword in BUILT_IN:
            if any(getattr(row, name) != changes.get(name, getattr(row, name)) for name in _FIXED):
                raise errors.BuiltInKeyword
        elif built_in_word(changes.get("keyword", "")) is not None:
            raise errors.KeywordExists
        for name, value in changes.items():
            setattr(row, name, value)
        if (fault := _lacking(row)) is not None:
            raise errors.Unprocessable(f"{fault.field}: {fault.message}", details=[fault])
        _save(row)
    return _rule(row)


_FIXED = ("keyword", "match", "action")


def remove(*, tenant_id: int, keyword_id: UUID) -> None:
    """Forget one of the tenant's own rules.

    Raises:
        errors.NotFound: the tenant has no such one.
        errors.BuiltInKeyword: it is built in.
    """
    if not _rows(tenant_id).filter(pk=keyword_id).exclude(keyword__in=BUILT_IN).delete()[0]:
        _word_of(tenant_id, keyword_id)
        raise errors.BuiltInKeyword


def _lacking(row: Keyword) -> Detail | None:
    """What a rule lacks that its match or action takes; None when it is whole."""
    if row.match == Match.FIRST_WORD and " " in row.keyword:
        return Detail("keyword", "INVALID_VALUE", "A first word has no spaces.")
    if row.action == Action.REPLY and not row.reply_text:
        return Detail("replyText", "REQUIRED", "The action reply takes a replyText.")
    if row.action == Action.FORWARD and not row.callback_url:
        return Detail("callbackUrl", "REQUIRED", "The action forward takes a callbackUrl.")
    return None


def _rows(tenant_id: int) -> QuerySet[Keyword, Keyword]:
    return Keyword.objects.for_tenant(tenant_id)


def _word_of(tenant_id: int, keyword_id: UUID) -> str:
    for word in BUILT_IN:
        if built_in_id(tenant_id=tenant_id, word=word) == keyword_id:
            return word
    raise errors.NotFound


def _made_of(tenant_id: int, word: str) -> Keyword:
    """The locked row of a built-in rule, which was not there yet."""
    key = built_in_id(tenant_id=tenant_id, word=word)
    row, _made = _rows(tenant_id).get_or_create(
        tenant_id=tenant_id, keyword=word, defaults={"id": key, "action": BUILT_IN[word]}
    )
    return _rows(tenant_id).select_for_update().get(pk=row.pk)


def _save(row: Keyword) -> None:
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        raise errors.KeywordExists from error


def _rule(row: Keyword) -> Rule:
    built_in = row.keyword in BUILT_IN
    default = REPLIES[row.keyword] if built_in else None
    return Rule(
        row.pk,
        row.keyword,
        row.match,
        row.action,
        row.reply_text or default,
        row.callback_url,
        built_in,
        row.created_at,
        row.updated_at,
    )


def _unchanged(tenant_id: int, word: str) -> Rule:
    action = BUILT_IN[word]
    key = built_in_id(tenant_id=tenant_id, word=word)
    return Rule(key, word, Match.EXACT, action, REPLIES[word], None, True, None, None)
