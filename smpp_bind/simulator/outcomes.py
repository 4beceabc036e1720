"""What becomes of a submit: its command_status, and later its final state.

With a seed the same submits in the same order meet the same fate. The parts of one long message share theirs.
"""

from __future__ import annotations

import random
import zlib
from bisect import bisect
from itertools import accumulate
from typing import Final, Literal, NamedTuple, TypeAlias

from smpp_bind.simulator.settings import Settings
from smpp_bind.simulator.submits import Submit


class Outcome(NamedTuple):
    """A final state as receipts spell it: `state` is the message_state TLV, `error` the network's code."""

    name: str
    stat: bytes
    state: int
    error: int


ENROUTE: Final = Outcome("enroute", b"ENROUTE", 1, 0)
BY_NAME: Final = {
    outcome.name: outcome
    for outcome in (
        Outcome("delivered", b"DELIVRD", 2, 0),
        Outcome("expired", b"EXPIRED", 3, 27),
        Outcome("deleted", b"DELETED", 4, 0),
        Outcome("failed", b"UNDELIV", 5, 1),
        Outcome("accepted", b"ACCEPTD", 6, 0),
        Outcome("unknown", b"UNKNOWN", 7, 255),
        Outcome("rejected", b"REJECTD", 8, 11),
        Outcome("skipped", b"SKIPPED", 9, 0),
        Outcome("odd", b"NOROUTE", 42, 613),
    )
}


How: TypeAlias = Literal["nack", "lose", "twice", "no-id", "cut"]


class Fate(NamedTuple):
    """`outcome` None is never reported, and `delay` is of its receipt; the rest concerns the answer to the
    submit: `late` seconds, `status` None for the usual refusal, and `how` it is given.
    """

    outcome: Outcome | None
    delay: float = 0.0
    refused: bool = False
    unanswered: bool = False
    status: int | None = None
    late: float = 0.0
    how: How | None = None


_MAGIC: Final = {
    b"0006": Fate(BY_NAME["delivered"]),
    b"0007": Fate(BY_NAME["failed"]),
    b"0008": Fate(BY_NAME["expired"]),
    b"0009": Fate(BY_NAME["rejected"]),
    b"0010": Fate(None),
    b"0011": Fate(BY_NAME["delivered"], delay=10.0),
    b"0012": Fate(None, refused=True),
    b"0013": Fate(BY_NAME["delivered"], unanswered=True),
}


class Outcomes:
    """Draws one fate a submit."""

    def __init__(self, settings: Settings) -> None:
        self._random = random.Random(settings.seed).random
        self._salt = self._random().hex().encode()
        names = [name for name, weight in settings.mix.items() if weight]
        self._fates = [Fate(BY_NAME.get(name)) for name in names]
        self._bounds = list(accumulate(settings.mix[name] for name in names))
        self._only = self._fates[0] if len(names) == 1 else None
        self._magic = settings.magic
        self._refused_below = settings.fail / 100
        self._unanswered_below = self._refused_below + settings.no_answer / 100

    def of(self, submit: Submit) -> Fate:
        if self._magic:
            told = _MAGIC.get(submit.recipient[-4:])
            if told is not None:
                return told
        fate = self._only or self._drawn(submit)
        if self._unanswered_below:
            roll = self._random()
            if roll < self._refused_below:
                return Fate(None, refused=True)
            if roll < self._unanswered_below:
                return fate._replace(unanswered=True)
        return fate

    def _drawn(self, submit: Submit) -> Fate:
        if submit.part is None:
            roll = self._random()
        else:
            key = b"%b%b%b%d" % (self._salt, submit.source, submit.destination, submit.part.reference)
            roll = zlib.crc32(key) / 0x100000000
        return self._fates[bisect(self._bounds, roll * self._bounds[-1], hi=len(self._fates) - 1)]
