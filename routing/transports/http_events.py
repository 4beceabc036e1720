"""What an operator is to the intake that posts receipts and handsets' messages to one URL, for all its accounts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from routing.contract import Inbound, OperatorSettings, Receipt
from routing.transports.http_intake import Presented


class Door(Protocol):
    def admits(self, presented: Presented) -> bool:
        """Whether a request shows the operator's secret."""


class Event(Protocol):
    """One receipt or message."""

    @property
    def number_id(self) -> str:
        """The account that it is about."""


class EventMap(Protocol):
    """One operator's posts."""

    @property
    def operator(self) -> OperatorSettings: ...

    @property
    def door(self) -> Door: ...

    @property
    def number_id(self) -> str:
        """The operator's account."""

    @property
    def app(self) -> str:
        """The secret that accounts share which are posted to at one URL."""

    @property
    def reply(self) -> str: ...

    def challenge(self, query: Mapping[str, str]) -> str | None:
        """The answer to a GET that asks whether the URL is ours; None where it may not be told."""

    def greeting(self, document: Any) -> str | None:
        """The answer to a post that asks the same; None for any other post."""

    def events(self, document: Any) -> Sequence[Event]:
        """What is in a post; what is not for us is left out."""

    def read(self, event: Any, now: datetime) -> Receipt | Inbound:
        """Raises :class:`routing.transports.http_intake.UnreadableError`: the event lacks something."""
