"""The simulator's command line: one table from options to settings, for manage.py and `python -m` alike."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from smpp_bind.simulator import settings
from smpp_bind.simulator.settings import Settings, SettingsError


class Option(NamedTuple):
    """`read` turns the option's text into the setting; None makes a flag of it."""

    name: str
    read: Callable[..., Any] | None
    metavar: str | None
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def _text(text: str, *, option: str) -> str:
    return text


def _whole(text: str, *, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{option}: {text!r} is not a whole number.") from None


def _number(text: str, *, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{option}: {text!r} is not a number.") from None


OPTIONS: Final = (
    Option("host", _text, "HOST", "Address to listen on (127.0.0.1)."),
    Option("port", _whole, "PORT", "Port to listen on; 0, the default, takes a free one and prints it."),
    Option("system_id", _text, "ID", "Accept only this system_id (any)."),
    Option("password", _text, "PASSWORD", "Accept only this password (any)."),
    Option("tls_cert", _text, "FILE", "Certificate chain (PEM); with --tls-key the port speaks TLS."),
    Option("tls_key", _text, "FILE", "Private key (PEM)."),
    Option("max_binds", _whole, "N", "Binds of one system_id; one more is refused with ESME_RALYBND."),
    Option("enquire_link", _number, "SECONDS", "Ask clients that often, and close on one that is silent."),
    Option("latency", settings.span, "MS", "Time to the answer of a submit: 50 or 20-80 (0)."),
    Option("window", _whole, "N", "Unanswered submits a connection may have."),
    Option("window_over", _text, "HOW", "A submit over the window: throttle (default) or ignore."),
    Option("throttle_above", _whole, "R", "Submits a second of one system_id; more are throttled."),
    Option("throttle_status", settings.status, "STATUS", "What they are answered: 0x58 (default) or 0x14."),
    Option("fail", _number, "PERCENT", "Submits refused with --fail-status."),
    Option("fail_status", settings.status, "STATUS", "Number or name (ESME_RSYSERR)."),
    Option("no_answer", _number, "PERCENT", "Submits accepted and never answered."),
    Option(
        "mix",
        settings.mix,
        "MIX",
        "Weights of final states, delivered=90,failed=5,expired=3,rejected=2; also deleted, accepted, "
        "unknown, and none, which is never reported (delivered=100).",
    ),
    Option(
        "magic",
        None,
        None,
        "Let the recipient's last digits decide: 0006 delivered, 0007 failed, 0008 expired, 0009 rejected, "
        "0010 never reported, 0011 delivered after 10 s, 0012 refused, 0013 not answered.",
    ),
    Option("seed", _whole, "N", "Repeat the same failures and final states for the same submits."),
    Option(
        "receipts",
        _text,
        "WHICH",
        "final (default): one a submit that asks; none; duplicate: each twice; each-part: for all parts of a "
        "long message when it does not ask either; first-part, last-part: only for that part of a long "
        "message; before-answer: before the answer to the submit.",
    ),
    Option("receipt_delay", settings.span, "MS", "From the answer to the receipt: 50 or 20-80 (100)."),
    Option(
        "receipt_style",
        _text,
        "STYLE",
        "text (default), tlv, both, text-seconds, minimal (no sub: and dlvrd:), esm0 (esm_class 0).",
    ),
    Option("id_style", _text, "STYLE", "Ids in answers: decimal (default), hex, uuid, padded."),
    Option(
        "receipt_id_style", _text, "STYLE", "Ids in receipts: same (default), decimal, hex, upper, padded."
    ),
    Option(
        "receipt_bind",
        _text,
        "WHICH",
        "any (default): any receiving bind of the system_id; same: the submitting one while it can.",
    ),
    Option("deliver_window", _whole, "N", "Unacknowledged deliver_sm a connection gets (100)."),
    Option("mo", _text, "TEXT", "Send this text from a handset, again and again."),
    Option("mo_from", _text, "NUMBER", "Its sender (33600000001)."),
    Option("mo_to", _text, "NUMBER", "Its recipient (38080)."),
    Option("mo_rate", _number, "R", "How many a second (1)."),
    Option("mo_count", _whole, "N", "How many in all (no end)."),
    Option(
        "control_port",
        _whole,
        "PORT",
        "Take orders there, as on standard input, one a line: mo FROM TO TEXT, pause SECONDS, close, unbind, "
        "refuse SECONDS, stats; each is answered with one line of JSON. 0 takes a free port.",
    ),
    Option("stats_every", _number, "SECONDS", "Print the counters that often, and at the end."),
    Option("json", None, None, "Print lines of JSON."),
    Option(
        "record", _text, "FILE", "Append a line for each accepted submit: time, system_id, destination, id."
    ),
    Option("count_duplicates", None, None, "Count accepted submits equal in source, destination and text."),
)


def add_to(parser: argparse.ArgumentParser) -> None:
    for option in OPTIONS:
        if option.read is None:
            parser.add_argument(option.flag, dest=option.name, action="store_true", help=option.help)
        else:
            parser.add_argument(option.flag, dest=option.name, metavar=option.metavar, help=option.help)


def read(values: Mapping[str, Any]) -> Settings:
    """Settings from what argparse found. Raises SettingsError, which names the option."""
    found: dict[str, Any] = {}
    for option in OPTIONS:
        value = values.get(option.name)
        if option.read is None:
            found[option.name] = bool(value)
        elif value is not None:
            found[option.name] = option.read(value, option=option.flag)
    return Settings(**found)
