"""Senders and recipients as SMPP has them: type of number, numbering plan, digits (SMPP 3.4, 5.2.5 to 5.2.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

from smpp_bind import errors

Kind = Literal["alphanumeric", "international", "national", "short"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
NUMBERS: Final[Mapping[Kind, tuple[int, int]]] = {
    "alphanumeric": (5, 0),
    "international": (1, 1),
    "national": (2, 1),
    "short": (3, 0),
}
"""(type of number, numbering plan) of each kind."""

LONGEST_ALPHANUMERIC: Final = 11
LONGEST_NUMBER: Final = 20
_SHORT_CODE_DIGITS: Final = 8
# Of senders that are remembered: tenants use few, but nothing holds them to that.
_MOST_SENDERS: Final = 10_000


class Address(NamedTuple):
    ton: int
    npi: int
    address: str


def kind_of(address: str) -> Kind:
    """Of what kind an address is; digits without a plus are a short code up to eight of them, and national where they
    begin with a zero."""
    digits = address.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()):
        return "alphanumeric"
    if digits != address:
        return "international"
    if len(digits) <= _SHORT_CODE_DIGITS:
        return "short"
    return "national" if digits.startswith("0") else "international"


class Addressing:
    """How one operator wants addresses written. ``source_ton`` and the like, where given, hold for every kind."""

    def __init__(
        self,
        *,
        numbers: Mapping[Kind, tuple[int, int]] = NUMBERS,
        default_sender: str = "",
        source_ton: int | None = None,
        source_npi: int | None = None,
        destination_ton: int | None = None,
        destination_npi: int | None = None,
    ) -> None:
        self._numbers = numbers
        self._source = (source_ton, source_npi)
        self._destination = (destination_ton, destination_npi)
        self._international = self._written("international", "", self._destination)[:2]
        self._senders: dict[str, Address] = {}
        self._default = self._sender(default_sender)

    def source(self, sender: str | None) -> Address:
        """The sender's address; without one, the operator's default sender.

        Raises:
            UnsendableError: it is longer than a handset could show, or not of Latin-1.
        """
        if not sender:
            return self._default
        known = self._senders.get(sender)
        if known is None:
            known = self._sender(sender)
            if len(self._senders) < _MOST_SENDERS:
                self._senders[sender] = known
        return known

    def destination(self, recipient: str) -> Address:
        """The recipient's address: digits only; a short code or a national number is one by its form."""
        if recipient.startswith("+"):
            ton, npi = self._international
            return Address(ton, npi, recipient[1:])
        return self._written(kind_of(recipient), recipient, self._destination)

    def _sender(self, sender: str) -> Address:
        if not sender:
            ton, npi = self._source
            return Address(ton or 0, npi or 0, "")
        kind = kind_of(sender)
        longest = LONGEST_ALPHANUMERIC if kind == "alphanumeric" else LONGEST_NUMBER
        address = sender if kind == "alphanumeric" else sender.removeprefix("+")
        if len(address) > longest:
            raise errors.UnsendableError(
                f"The sender is longer than {longest} characters.", error_code="INVALID_SENDER"
            )
        if not address.isprintable() or not _is_latin1(address):
            raise errors.UnsendableError(
                "The sender has characters that are not of Latin-1.", error_code="INVALID_SENDER"
            )
        return self._written(kind, address, self._source)

    def _written(self, kind: Kind, address: str, given: tuple[int | None, int | None]) -> Address:
        ton, npi = self._numbers[kind]
        return Address(ton if given[0] is None else given[0], npi if given[1] is None else given[1], address)


def _is_latin1(address: str) -> bool:
    return max(address) <= "\xff"
