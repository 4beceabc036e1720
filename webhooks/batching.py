"""Several callbacks of one endpoint in one request: gathered, put together, taken apart again. Pure.

The request is a JSON array of the callbacks' bodies, oldest event first, each with its event's id in it. It is
signed as a whole under an id of its own, made of the events' ids: the same events sent again have the same id.
"""

import hashlib
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from webhooks.dispatch import Item

# Bytes of a request with several callbacks; one that is longer by itself goes by itself.
MAX_BYTES = 1024 * 1024
# What joining adds to a body: `"id":"<uuid>",` and the comma between two.
_ADDED = 48


class Batch:
    """Callbacks that go together; to whoever sends, one callback like any other."""

    __slots__ = ("began", "body", "callback_id", "destination", "event_id", "items", "started", "target")

    def __init__(self, items: Iterable["Item"]) -> None:
        """``items``: of one destination and target, at least one, in any order."""
        self.items = sorted(items, key=_by_event)
        first = self.items[0]
        self.callback_id = first.callback_id
        self.destination = first.destination
        self.target = first.target
        self.event_id = identify([item.event_id for item in self.items])
        self.body = join(self.items)
        # As of an item, and given to each of the items when the attempt begins.
        self.started = 0.0
        self.began = 0.0
        for item in self.items:
            item.batch = self.event_id

    def begin(self) -> None:
        """Tell the items when their attempt began."""
        for item in self.items:
            item.started = self.started
            item.began = self.began


class Group:
    """Callbacks that wait for others to go with."""

    __slots__ = ("items", "overdue", "size", "timer")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.size = 0
        self.timer: asyncio.TimerHandle | None = None
        # The oldest has waited for as long as it may: the group goes as soon as there is room.
        self.overdue = False

    def takes(self, item: "Item") -> bool:
        """Whether the item fits in; the first one always does."""
        return not self.items or self.size + len(item.body) + _ADDED <= MAX_BYTES

    def add(self, item: "Item") -> bool:
        """Take an item in; whether the group is full by now."""
        self.items.append(item)
        self.size += len(item.body) + _ADDED
        return len(self.items) >= item.destination.batch_events

    def leave(self) -> "list[Item]":
        """The items; the group is over."""
        if self.timer is not None:
            self.timer.cancel()
        return self.items


def key(item: "Item") -> Hashable:
    """What callbacks that go together have in common.

    Those of a batch that failed share the moment of their first attempt, and find each other again by it.
    """
    return id(item.destination), item.target, item.attempt, item.first_attempt_at


def identify(event_ids: Iterable[str]) -> str:
    """The ``webhook-id`` of a request with these events, in this order."""
    return f"batch_{hashlib.sha256(' '.join(event_ids).encode()).hexdigest()[:32]}"


def join(items: Iterable["Item"]) -> bytes:
    """The array: each body, a JSON object, with ``id`` as its first member."""
    return b"[" + b",".join(_element(item) for item in items) + b"]"


def _element(item: "Item") -> bytes:
    rest = item.body.lstrip()[1:]
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return b'{"id":"%b"%b%b' % (item.event_id.encode(), comma, rest)


def _by_event(item: "Item") -> str:
    # Texts of UUIDv7 sort by time.
    return item.event_id
