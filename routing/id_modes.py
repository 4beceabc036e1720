"""How ids in an operator's receipts relate to those in its answers: the rules, and how sure we are of one.

An operator's mode is a rule, or ``auto``: the rule is found out. Receipts are matched by the rule in use. Where one
stays unmatched, and by another rule names a part of which there is no receipt yet, it *fits* that rule. While nothing
is known of an operator the first that fits is believed, so that a single message works; otherwise :data:`SURE` of
them are needed, with nothing against them. So are found ids that bear a fixed prefix on one side: ``cut:smsc-`` where
receipts have it, ``put:smsc-`` where answers have.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

AUTO = "auto"
AS_IS = "as_is"
HEX_TO_DECIMAL = "hex_to_decimal"
DECIMAL_TO_HEX = "decimal_to_hex"
# What a receipt's id becomes, to be the answer's.
RULES = (AS_IS, HEX_TO_DECIMAL, DECIMAL_TO_HEX)
MODES = (AUTO, *RULES)
CUT, PUT = "cut:", "put:"

SURE = 5
# Of 128 bits; what is longer is no number.
_MOST_DIGITS = 39
_MOST_COUNTED = 8
# Up to the first mark, up to the last, and letters that are no hexadecimal number.
_PREFIXES = tuple(
    re.compile(f"({head})(?=.{{3}})")
    for head in ("[0-9a-z]{0,20}[^0-9a-z]{1,4}", ".{0,20}[^0-9a-z]", "[a-z]{0,20}[g-z][a-z]{0,20}(?=[0-9])")
)
_DECIMAL = frozenset("0123456789")
_HEX = frozenset("0123456789abcdef")


def converted(remote_id: str, rule: str) -> str | None:
    """A receipt's id as the answer had it, in the form that answers are kept in; None where the rule says nothing
    of it.

    Ids are lower case and without leading zeros.
    """
    if rule == AS_IS:
        return remote_id
    if rule.startswith(PUT):
        return rule.removeprefix(PUT) + remote_id
    if rule.startswith(CUT):
        rest = remote_id.removeprefix(rule.removeprefix(CUT))
        return rest.lstrip("0") if rest != remote_id and rest.strip("0") else None
    if not 0 < len(remote_id) <= _MOST_DIGITS:
        return None
    if rule == HEX_TO_DECIMAL:
        return str(int(remote_id, 16)) if _HEX.issuperset(remote_id) else None
    return f"{int(remote_id):x}" if _DECIMAL.issuperset(remote_id) else None


def forms(remote_ids: Sequence[str], rule: str) -> tuple[str, ...]:
    """What a receipt's ids may be in answers; one of which the rule says nothing stays as it is."""
    if rule == AS_IS:
        return tuple(remote_ids)
    return tuple(converted(each, rule) or each for each in remote_ids)


def prefixes(remote_id: str) -> set[str]:
    """What an id may begin with that the other side leaves out."""
    return {found[1] for each in _PREFIXES if (found := each.match(remote_id))}


def tells(remote_id: str) -> bool:
    """Whether the rules differ on an id: on one digit they do not."""
    return not any(converted(remote_id, rule) == remote_id for rule in RULES[1:])


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of one operator.

    ``counts``: how many receipts spoke for rules other than ``seen``, the first of them at ``since``.
    """

    mode: str = AS_IS
    seen: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    since: datetime | None = None

    @classmethod
    def read(cls, mode: str, seen: str, evidence: Mapping[str, Any]) -> Self:
        """Of an operator's columns."""
        since = evidence.get("since")
        return cls(mode, seen, evidence.get("counts", {}), since and datetime.fromisoformat(since))

    @property
    def evidence(self) -> dict[str, Any]:
        """As it is kept."""
        if not self.counts:
            return {}
        return {"counts": dict(self.counts), "since": self.since and self.since.isoformat()}

    @property
    def rule(self) -> str:
        """The rule in use."""
        return self.mode if self.mode != AUTO else self.seen or AS_IS

    @property
    def settled(self) -> bool:
        """Whether there is reason to believe in the rule in use, so that one receipt says nothing against it."""
        return self.mode != AUTO or bool(self.seen) or AS_IS in self.counts

    @property
    def sure(self) -> str | None:
        """The rule that has the evidence, if one has."""
        for rule, count in self.counts.items():
            if count >= SURE * max(1, sum(self.counts.values()) - count):
                return rule
        return None

    def heard(self, rule: str, count: int, *, at: datetime) -> Self:
        """With so many receipts more that spoke for a rule. When too many rules are spoken for, none counts."""
        counts = {**self.counts, rule: self.counts.get(rule, 0) + count}
        if len(counts) > _MOST_COUNTED:
            counts = {rule: count}
        return replace(self, counts=counts, since=self.since or at)

    def believing(self, rule: str) -> Self:
        """Sure of a rule; what spoke for others is forgotten."""
        return replace(self, seen=rule, counts={}, since=None)
