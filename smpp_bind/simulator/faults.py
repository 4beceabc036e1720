"""Faults on request: what goes wrong, and at which submits or binds.

    NAME[:ARGUMENT][@CONDITION=VALUE,...]      refuse:0x0B@every=3     late:500@to=0012     deaf@for=10

A fault without conditions always strikes; with several all of them must hold. `every`, `first` and `after` count
the submits (or binds, or whatever the fault is about) for which the other conditions hold.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from smpp_bind.simulator import reading, unasked
from smpp_bind.simulator.reading import SettingsError
from smpp_bind.simulator.submits import Submit

_OPTION: Final = "fault"
BINDS: Final = ("transmitter", "receiver", "transceiver")
About: TypeAlias = Literal["submit", "bind", "link"]


class Kind(NamedTuple):
    """`read` turns the argument into a value; None where there is none to give. `default` "" asks for one."""

    about: About
    read: Callable[..., Any] | None
    default: str
    help: str


def _refusal(given: str, *, option: str) -> int:
    found = reading.status(given, option=option)
    if not found:
        raise SettingsError(f"{option}: {given} is no refusal.")
    return found


def _kind(given: str, *, option: str) -> str:
    if given not in BINDS:
        raise SettingsError(f"{option}: {given!r} is none of {', '.join(BINDS)}.")
    return given


KINDS: Final[dict[str, Kind]] = {
    "refuse": Kind("submit", _refusal, "ESME_RSYSERR", "STATUS: the submit is answered with it"),
    "nack": Kind("submit", _refusal, "ESME_RINVCMDID", "STATUS: answered with generic_nack"),
    "no-answer": Kind("submit", None, "", "accepted, and never answered"),
    "lose": Kind("submit", None, "", "not accepted, and never answered"),
    "late": Kind("submit", reading.span, "500", "MS: answered that much later, so out of order with others"),
    "twice": Kind("submit", None, "", "answered twice"),
    "no-id": Kind("submit", None, "", "accepted without a message id"),
    "cut": Kind("submit", None, "", "the connection ends in the middle of the answer"),
    "refuse-bind": Kind("bind", _refusal, "ESME_RBINDFAIL", "STATUS: the bind is answered with it"),
    "no-bind-answer": Kind("bind", None, "", "the bind is never answered"),
    "bare-bind": Kind("bind", None, "", "bound, by an answer without a body"),
    "odd-bind": Kind("bind", None, "", "bound, by an answer with broken TLVs"),
    "enquire-first": Kind("bind", None, "", "enquire_link is sent ahead of the answer to the bind"),
    "deliver-first": Kind("bind", None, "", "what waits is delivered ahead of the answer to the bind"),
    "linger": Kind("bind", reading.seconds, "5", "SECONDS: ESME_RALYBND that long after a lost connection"),
    "sequence": Kind("bind", reading.count, "0x7FFFFFF0", "N: our sequence numbers begin there"),
    "dribble": Kind("bind", reading.count, "7", "OCTETS: written that many at once, every 2 ms"),
    "deaf": Kind("link", None, "", "enquire_link is not answered"),
    "no-unbind-answer": Kind("link", None, "", "unbind is not answered"),
    **{name: Kind("submit", None, "", f"first {each.help}") for name, each in unasked.ACTIONS.items()},
}

CONDITIONS: Final = {
    "every": (reading.count, "N: at every N-th"),
    "first": (reading.count, "N: at the first N"),
    "after": (reading.count, "N: not at the first N"),
    "for": (reading.seconds, "SECONDS: only so long after the start, or the order"),
    "share": (reading.percent, "PERCENT: at so many of them, drawn"),
    "to": (reading.text, "DIGITS: at recipients that end so"),
    "part": (reading.count, "N: at that part of a long message"),
    "kind": (_kind, "KIND: at binds of that kind: transmitter, receiver or transceiver"),
    "above": (reading.count, "N: at binds of a system_id that has N already"),
}
_OF_SUBMITS: Final = {"to", "part"}
_OF_BINDS: Final = {"kind", "above"}


class Fault:
    """One of them, and when it strikes."""

    def __init__(self, spec: str, *, draw: Callable[[], float], tally: Counter[str]) -> None:
        """`draw` decides about `share`, `tally` counts strikes by spec. Raises SettingsError, which says what
        cannot be.
        """
        self.spec = spec
        self._draw = draw
        head, _, conditions = spec.partition("@")
        self.name, colon, argument = head.partition(":")
        kind = KINDS.get(self.name)
        if kind is None:
            raise SettingsError(f"{_OPTION}: there is no fault {self.name!r}; there are {', '.join(KINDS)}.")
        if kind.read is None and colon:
            raise SettingsError(f"{_OPTION}: {self.name} takes no argument.")
        self.about = kind.about
        self.argument: Any = kind.read(argument or kind.default, option=_OPTION) if kind.read else None
        self._tally = tally
        self._chances = 0
        self._when = _conditions(conditions, self) if conditions else {}
        self._ending = self._when.get("to", "").encode()
        self._until = time.monotonic() + self._when["for"] if "for" in self._when else None

    def is_over(self) -> bool:
        """Whether its time is past."""
        return self._until is not None and time.monotonic() >= self._until

    def hits_submit(self, submit: Submit) -> bool:
        if self._ending and not submit.recipient.endswith(self._ending):
            return False
        part = self._when.get("part")
        if part is not None and (submit.part is None or submit.part.number != part):
            return False
        return self.hits()

    def hits_bind(self, *, kind: str, bound: int) -> bool:
        """`bound` is the number of binds that the system_id has."""
        if self._when.get("kind", kind) != kind or bound < self._when.get("above", 0):
            return False
        return self.hits()

    def hits(self) -> bool:
        """Whether it strikes now, by the conditions on count, time and chance; counts it if so."""
        when = self._when
        self._chances += 1
        if when and not (
            self._chances % when.get("every", 1) == 0
            and when.get("after", 0) < self._chances <= when.get("first", self._chances)
            and not self.is_over()
            and ("share" not in when or self._draw() * 100 < when["share"])
        ):
            return False
        self._tally[self.spec] += 1
        return True


def _conditions(text: str, fault: Fault) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        if name not in CONDITIONS:
            raise SettingsError(
                f"{_OPTION}: there is no condition {name!r}; there are {', '.join(CONDITIONS)}."
            )
        if (name in _OF_SUBMITS and fault.about != "submit") or (name in _OF_BINDS and fault.about != "bind"):
            raise SettingsError(f"{_OPTION}: {fault.name} is not about what {name}= selects.")
        if not value:
            raise SettingsError(f"{_OPTION}: {name}= needs a value.")
        found[name] = CONDITIONS[name][0](value, option=_OPTION)
    return found


class Faults:
    """Those that stand, which may change. `of_submits` is empty when no submit has to be looked at."""

    def __init__(self, specs: Iterable[str], *, seed: int | None = None) -> None:
        """Raises SettingsError, as `add` does."""
        self._draw = random.Random(seed).random
        self._all: list[Fault] = []
        self._tally: Counter[str] = Counter()
        self.of_submits: list[Fault] = []
        for spec in specs:
            self.add(spec)

    def add(self, spec: str) -> None:
        """Raises SettingsError."""
        fault = Fault(spec, draw=self._draw, tally=self._tally)
        self._tally[spec] += 0
        self._all = [*(each for each in self._all if not each.is_over()), fault]
        self.of_submits = [each for each in self._all if each.about == "submit"]

    def clear(self) -> int:
        """Everything works again; answers how many there were."""
        count = len(self._all)
        self._all.clear()
        self.of_submits.clear()
        return count

    def struck(self) -> dict[str, int]:
        """How often each struck, those too that stand no more."""
        return dict(self._tally)

    def at_bind(self, *, kind: str, bound: int) -> dict[str, Any]:
        """The arguments of those that strike this bind, by name; True where there is none."""
        return {
            fault.name: True if fault.argument is None else fault.argument
            for fault in self._all
            if fault.about == "bind" and fault.hits_bind(kind=kind, bound=bound)
        }

    def strikes(self, name: str) -> bool:
        """Whether the fault on a link of this name strikes now."""
        return any(fault.name == name and fault.hits() for fault in self._all)
