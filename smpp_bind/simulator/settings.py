"""What a simulated SMSC does, checked once: anything that makes no sense raises SettingsError, which names the
option to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal, TypeAlias, get_args, get_type_hints

from smpp_bind import errors, pdu
from smpp_bind.simulator import faults, menus, texts
from smpp_bind.simulator.reading import SettingsError, Span

IdStyle: TypeAlias = Literal["decimal", "hex", "upper", "uuid", "padded", "0x"]
ReceiptIdStyle: TypeAlias = Literal["same", "decimal", "hex", "upper", "padded", "0x", "prefixed"]
TlvIdStyle: TypeAlias = Literal["as-text", "same", "decimal", "hex", "upper", "padded", "0x", "prefixed"]
ReceiptBind: TypeAlias = Literal["same", "any", "other"]
WindowOver: TypeAlias = Literal["throttle", "ignore"]

OUTCOMES: Final = (
    "delivered",
    "failed",
    "expired",
    "rejected",
    "deleted",
    "accepted",
    "unknown",
    "skipped",
    "odd",
    "none",
)
"""What may become of a message; `odd` is a state of no specification, `none` is never reported."""

_AT_ONCE: Final = Span()
_SOON: Final = Span(0.1, 0.1)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One simulated SMSC. Durations are seconds, fail and no_answer are per cent of submits.

    `receipts`, `receipt_style` and `mo_format` are words of `menus`, `fault` the texts of `faults`.
    """

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
    receipts: str = "final"
    receipt_delay: Span = _SOON
    receipt_style: str = "text"
    id_style: IdStyle = "decimal"
    receipt_id_style: ReceiptIdStyle = "same"
    receipt_tlv_id_style: TlvIdStyle = "as-text"
    receipt_bind: ReceiptBind = "any"
    deliver_window: int = 100

    mo: str | None = None
    mo_from: str = "33600000001"
    mo_to: str = "38080"
    mo_rate: float = 1.0
    mo_count: int | None = None
    mo_format: str = "auto"

    fault: tuple[str, ...] = ()

    control_port: int | None = None
    stats_every: float | None = None
    json: bool = False
    record: str | None = None
    count_duplicates: bool = False

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()
        self._check_words()
        faults.Faults(self.fault)
        if unknown := set(self.mix) - set(OUTCOMES):
            raise SettingsError(f"mix: {min(unknown)!r} is none of {', '.join(OUTCOMES)}.")
        if not sum(self.mix.values()) > 0 or min(self.mix.values()) < 0:
            raise SettingsError("mix: weights may not be negative, and one must be above 0.")
        if self.id_style == "uuid" and {self.receipt_id_style, self.receipt_tlv_id_style} - _FOR_UUIDS:
            raise SettingsError("receipt_id_style: a uuid can only be reported as same, upper or prefixed.")
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

    def _check_words(self) -> None:
        for name, menu in _MENUS.items():
            try:
                menus.words(getattr(self, name), menu)
            except ValueError as error:
                raise SettingsError(f"{name}: {error}") from None
        if self.mo is not None:
            self._check_text(self.mo)

    def _check_text(self, text: str) -> None:
        words = menus.words(self.mo_format, menus.MO_FORMAT)
        try:
            texts.bodies(sender=self.mo_from, recipient=self.mo_to, text=text, words=words)
        except (ValueError, errors.SmppError) as error:
            raise SettingsError(f"mo, mo_from, mo_to, mo_format: {error}") from None

    def _check_numbers(self) -> None:
        for name, low, high in _BOUNDS:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise SettingsError(f"{name}: {value} is not between {low} and {high}.")


_CHOICES: Final = (IdStyle, ReceiptIdStyle, TlvIdStyle, ReceiptBind, WindowOver)
_FOR_UUIDS: Final = {"as-text", "same", "upper", "prefixed"}
_MENUS: Final = {
    "receipts": menus.RECEIPTS,
    "receipt_style": menus.RECEIPT_STYLE,
    "mo_format": menus.MO_FORMAT,
}
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
