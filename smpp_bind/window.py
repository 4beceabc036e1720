"""Requests sent and not yet answered, by sequence number (SMPP 3.4, sections 2.9 and 5.1.4)."""

from __future__ import annotations

from collections.abc import Container
from typing import Final, Generic, NamedTuple, TypeVar

from smpp_bind import errors

LAST_SEQUENCE: Final = 0x7FFFFFFF
EXPIRED_KEPT: Final = 1000

Token = TypeVar("Token")


class Sent(NamedTuple, Generic[Token]):
    """One request in flight; `sent_at` is the time it was told."""

    token: Token
    sent_at: float


class Window(Generic[Token]):
    """At most `size` requests at once; one unanswered for `timeout` seconds counts as lost.

    `reserved` holds sequence numbers in flight elsewhere on the same link, which are skipped as well.
    """

    def __init__(
        self, *, size: int, timeout: float, first: int = 1, reserved: Container[int] = frozenset()
    ) -> None:
        self.size = size
        self.timeout = timeout
        self._next = first
        self._reserved = reserved
        # Insertion order is the order of sending, so the first is the oldest.
        self._in_flight: dict[int, Sent[Token]] = {}
        self._expired: dict[int, Sent[Token]] = {}

    def __len__(self) -> int:
        return len(self._in_flight)

    @property
    def room(self) -> int:
        return self.size - len(self._in_flight)

    def next_sequence(self) -> int:
        """1 to 0x7FFFFFFF and round again, skipping what is still in flight."""
        sequence = self._next
        while sequence in self._in_flight or sequence in self._reserved:
            sequence = 1 if sequence == LAST_SEQUENCE else sequence + 1
        self._next = 1 if sequence == LAST_SEQUENCE else sequence + 1
        return sequence

    def add(self, token: Token, now: float) -> int:
        """Its sequence number. Raises WindowFullError."""
        if len(self._in_flight) >= self.size:
            raise errors.WindowFullError(f"{self.size} requests are unanswered.")
        sequence = self.next_sequence()
        self._in_flight[sequence] = Sent(token, now)
        return sequence

    def take(self, sequence: int) -> Sent[Token] | None:
        """The request answered, or None where none is in flight by that number."""
        return self._in_flight.pop(sequence, None)

    def expire(self, now: float) -> list[Sent[Token]]:
        """Takes out those unanswered for too long, oldest first."""
        lost = []
        deadline = now - self.timeout
        for sequence, sent in self._in_flight.items():
            if sent.sent_at > deadline:
                break
            lost.append(sequence)
        for sequence in lost:
            self._expired[sequence] = self._in_flight.pop(sequence)
        taken = [self._expired[sequence] for sequence in lost]
        while len(self._expired) > EXPIRED_KEPT:
            del self._expired[next(iter(self._expired))]
        return taken

    def take_expired(self, sequence: int) -> Sent[Token] | None:
        """A request that `expire` gave up, once, as long as it is among the last thousand of them."""
        return self._expired.pop(sequence, None)

    def next_expiry(self) -> float | None:
        for sent in self._in_flight.values():
            return sent.sent_at + self.timeout
        return None

    def drain(self) -> list[Sent[Token]]:
        """Takes out all, oldest first."""
        everything = list(self._in_flight.values())
        self._in_flight.clear()
        return everything
