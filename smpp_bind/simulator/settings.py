"""What a simulated SMSC does, checked once.

Every value may also be given as the text of an option: `span`, `status` and `mix` read those forms. Anything
that makes no sense raises SettingsError with the name of the option to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal, NamedTuple, TypeAlias, get_args, get_type_hints

from smpp_bind import pdu

Receipts: TypeAlias = Literal[
    "final", "none", "duplicate", "each-part", "first-part", "last-part", "before-answer"
]
ReceiptStyle: TypeAlias = Literal["text", "tlv", "both", "text-seconds", "minimal", "esm0"]
IdStyle: TypeAlias = Literal["decimal", "hex", "uuid", "padded"]
ReceiptIdStyle: TypeAlias = Literal["same", "decimal", "hex", "upper", "padded"]
ReceiptBind: TypeAlias = Literal["same", "any"]
WindowOver: TypeAlias = Literal["throttle", "ignore"]

OUTCOMES: Final = ("delivered", "failed", "expired", "rejected", "deleted", "accepted", "unknown", "none")
"""What may become of a message; `none` is never reported."""

_STATUSES: Final = {name: status for status, name in pdu.STATUS_NAMES.items()}


class SettingsError(ValueError):
    """A setting that cannot be; the text says which and what is allowed."""


class Span(NamedTuple):
    """A duration in seconds, or a range of them from which each use draws."""

    low: float = 0.0
    high: float = 0.0


_AT_ONCE: Final = Span()
_SOON: Final = Span(0.1, 0.1)


def span(text: str, *, option: str) -> Span:
    """Reads `50` or `20-80`, in milliseconds."""
    low, dash, high = text.partition("-")
    try:
        found = Span(float(low) / 1000, float(high if dash else low) / 1000)
    except ValueError:
        raise SettingsError(f"{option}: give milliseconds as 50 or 20-80, not {text!r}.") from None
    if not 0 <= found.low <= found.high < float("inf"):
        raise SettingsError(f"{option}: {text!r} is not a range from low to high.")
    return found


def status(text: str, *, option: str) -> int:
    """Reads a command_status as 0x58, 88 or ESME_RTHROTTLED."""
    named = _STATUSES.get(text.upper())
    if named is not None:
        return named
    try:
        return int(text, 0)
    except ValueError:
        raise SettingsError(
            f"{option}: {text!r} is no command_status; give 0x58, 88 or ESME_RTHROTTLED."
        ) from None


def mix(text: str, *, option: str) -> dict[str, float]:
    """Reads `delivered=90,failed=10`; the numbers are weights."""
    weights: dict[str, float] = {}
    for pair in text.split(","):
        name, _, weight = pair.partition("=")
        try:
            weights[name.strip()] = float(weight)
        except ValueError:
            raise SettingsError(f"{option}: give name=weight pairs, not {pair!r}.") from None
    return weights


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One simulated SMSC. Durations are seconds, fail and no_answer are per cent of submits."""

    host: str = "127.0.0.1"
    port: int = 0
    system_id: str | None = None
    password: str | None = field(default=None, repr=False)
    tls_cert: str | None = None
    tls_key: str | None = None
    max_binds: int | None = None
    enquire_link: float | None = None

    latency: Span = _AT_ONCE
    window: int | None = None
    window_over: WindowOver = "throttle"
    throttle_above: int | None = None
    throttle_status: int = pdu.ESME_RTHROTTLED
    fail: float = 0.0
    fail_status: int = pdu.ESME_RSYSERR
    no_answer: float = 0.0

    mix: Mapping[str, float] = field(default_factory=lambda: {"delivered": 100.0})
    magic: bool = False
    seed: int | None = None
    receipts: Receipts = "final"
    receipt_delay: Span = _SOON
    receipt_style: ReceiptStyle = "text"
    id_style: IdStyle = "decimal"
    receipt_id_style: ReceiptIdStyle = "same"
    receipt_bind: ReceiptBind = "any"
    deliver_window: int = 100

    mo: str | None = None
    mo_from: str = "33600000001"
    mo_to: str = "38080"
    mo_rate: float = 1.0
    mo_count: int | None = None

    control_port: int | None = None
    stats_every: float | None = None
    json: bool = False
    record: str | None = None
    count_duplicates: bool = False

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()
        if unknown := set(self.mix) - set(OUTCOMES):
            raise SettingsError(f"mix: {min(unknown)!r} is none of {', '.join(OUTCOMES)}.")
        if not sum(self.mix.values()) > 0 or min(self.mix.values()) < 0:
            raise SettingsError("mix: weights may not be negative, and one must be above 0.")
        if self.id_style == "uuid" and self.receipt_id_style not in {"same", "upper"}:
            raise SettingsError("receipt_id_style: a uuid can only be reported as same or upper.")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise SettingsError("tls_cert, tls_key: give both or neither.")

    def _check_choices(self) -> None:
        hints = get_type_hints(type(self))
        for each in fields(self):
            allowed = get_args(hints[each.name]) if hints[each.name] in _CHOICES else ()
            if allowed and getattr(self, each.name) not in allowed:
                raise SettingsError(
                    f"{each.name}: {getattr(self, each.name)!r} is none of {', '.join(allowed)}."
                )

    def _check_numbers(self) -> None:
        for name, low, high in _BOUNDS:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise SettingsError(f"{name}: {value} is not between {low} and {high}.")


_CHOICES: Final = (Receipts, ReceiptStyle, IdStyle, ReceiptIdStyle, ReceiptBind, WindowOver)
_BOUNDS: Final = (
    ("port", 0, 65535),
    ("control_port", 0, 65535),
    ("max_binds", 1, 1_000_000),
    ("enquire_link", 0.05, 86_400),
    ("window", 1, 1_000_000),
    ("throttle_above", 1, 10_000_000),
    ("throttle_status", 1, 0xFFFFFFFF),
    ("fail", 0, 100),
    ("fail_status", 1, 0xFFFFFFFF),
    ("no_answer", 0, 100),
    ("deliver_window", 1, 1_000_000),
    ("mo_rate", 0.001, 100_000),
    ("mo_count", 1, 1_000_000_000),
    ("stats_every", 0.1, 86_400),
)
