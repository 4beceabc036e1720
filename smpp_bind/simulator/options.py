"""The simulator's command line: one table from options to settings, for manage.py and `python -m` alike."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from smpp_bind.simulator import faults, menus, reading
from smpp_bind.simulator.settings import Settings


class Option(NamedTuple):
    """`read` turns the option's text into the setting; with None it may be given more than once. Without
    `metavar` it is a flag.
    """

    name: str
    read: Callable[..., Any] | None
    metavar: str | None
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


OPTIONS: Final = (
    Option("host", reading.text, "HOST", "Address to listen on (127.0.0.1)."),
    Option(
        "port", reading.whole, "PORT", "Port to listen on; 0, the default, takes a free one and prints it."
    ),
    Option("system_id", reading.text, "ID", "Accept only this system_id (any)."),
    Option("password", reading.text, "PASSWORD", "Accept only this password (any)."),
    Option("tls_cert", reading.text, "FILE", "Certificate chain (PEM); with --tls-key the port speaks TLS."),
    Option("tls_key", reading.text, "FILE", "Private key (PEM)."),
    Option("max_binds", reading.whole, "N", "Binds of one system_id; one more is refused with ESME_RALYBND."),
    Option(
        "enquire_link", reading.number, "SECONDS", "Ask clients that often, and close on one that is silent."
    ),
    Option("latency", reading.span, "MS", "Time to the answer of a submit: 50 or 20-80 (0)."),
    Option("window", reading.whole, "N", "Unanswered submits a connection may have."),
    Option("window_over", reading.text, "HOW", "A submit over the window: throttle (default) or ignore."),
    Option("throttle_above", reading.whole, "R", "Submits a second of one system_id; more are throttled."),
    Option("throttle_status", reading.status, "STATUS", "What they are answered: 0x58 (default) or 0x14."),
    Option("fail", reading.number, "PERCENT", "Submits refused with --fail-status."),
    Option("fail_status", reading.status, "STATUS", "Number or name (ESME_RSYSERR)."),
    Option("no_answer", reading.number, "PERCENT", "Submits accepted and never answered."),
    Option(
        "mix",
        reading.mix,
        "MIX",
        "Weights of final states, delivered=90,failed=5,expired=3,rejected=2; also deleted, accepted, "
        "unknown, skipped, odd (a word of no specification), none, which is never reported (delivered=100).",
    ),
    Option(
        "magic",
        None,
        None,
        "Let the recipient's last digits decide: 0006 delivered, 0007 failed, 0008 expired, 0009 rejected, "
        "0010 never reported, 0011 delivered after 10 s, 0012 refused, 0013 not answered.",
    ),
    Option("seed", reading.whole, "N", "Repeat the same failures and final states for the same submits."),
    Option("receipts", reading.text, "WORDS", "Which receipts, and when; see below (final)."),
    Option("receipt_delay", reading.span, "MS", "From the answer to the receipt: 50 or 20-80 (100)."),
    Option("receipt_style", reading.text, "WORDS", "How they are written; see below (text)."),
    Option(
        "id_style", reading.text, "STYLE", "Ids in answers: decimal (default), hex, upper, uuid, padded, 0x."
    ),
    Option(
        "receipt_id_style",
        reading.text,
        "STYLE",
        "Ids in receipts: same (default), decimal, hex, upper, padded, 0x, prefixed.",
    ),
    Option(
        "receipt_tlv_id_style",
        reading.text,
        "STYLE",
        "Ids in receipts' TLVs: as-text (default), or as above.",
    ),
    Option(
        "receipt_bind",
        reading.text,
        "WHICH",
        "any (default): any receiving bind of the system_id; same: the submitting one while it can; "
        "other: another one.",
    ),
    Option("deliver_window", reading.whole, "N", "Unacknowledged deliver_sm a connection gets (100)."),
    Option("mo", reading.text, "TEXT", "Send this text from a handset, again and again."),
    Option("mo_from", reading.text, "NUMBER", "Its sender (33600000001)."),
    Option("mo_to", reading.text, "NUMBER", "Its recipient (38080)."),
    Option("mo_rate", reading.number, "R", "How many a second (1)."),
    Option("mo_count", reading.whole, "N", "How many in all (no end)."),
    Option("mo_format", reading.text, "WORDS", "How it is written, and by the order mo; see below (auto)."),
    Option("fault", None, "FAULT", "Something that goes wrong; see below. May be given again and again."),
    Option(
        "control_port",
        reading.whole,
        "PORT",
        "Take orders there, as on standard input, one a line, each answered with one line of JSON; the order "
        "help lists them. 0 takes a free port.",
    ),
    Option("stats_every", reading.number, "SECONDS", "Print the counters that often, and at the end."),
    Option("json", None, None, "Print lines of JSON."),
    Option(
        "record",
        reading.text,
        "FILE",
        "Append a line for each accepted submit: time, system_id, destination, id.",
    ),
    Option("count_duplicates", None, None, "Count accepted submits equal in source, destination and text."),
)


def add_to(parser: argparse.ArgumentParser) -> None:
    for option in OPTIONS:
        if option.metavar is None:
            parser.add_argument(option.flag, dest=option.name, action="store_true", help=option.help)
        else:
            action = "append" if option.read is None else "store"
            parser.add_argument(
                option.flag, dest=option.name, action=action, metavar=option.metavar, help=option.help
            )
    formatter: Any = parser.formatter_class
    kept: Any = type("Formatter", (argparse.RawDescriptionHelpFormatter, formatter), {})
    parser.formatter_class = kept
    parser.epilog = "\n\n".join(_listing())


def _listing() -> Iterator[str]:
    """The words of the menus, the faults and their conditions, a line each."""
    for title, menu in (
        ("--receipts", menus.RECEIPTS),
        ("--receipt-style", menus.RECEIPT_STYLE),
        ("--mo-format", menus.MO_FORMAT),
    ):
        words = ((word, meaning) for word, (_, meaning) in menu.items())
        yield _section(f"words of {title}, joined by commas:", words)
    kinds = ((name, kind.help) for name, kind in faults.KINDS.items())
    yield _section("--fault NAME[:ARGUMENT][@CONDITION=VALUE,...], as in refuse:0x0B@every=3,to=12:", kinds)
    yield _section("conditions:", ((name, line) for name, (_, line) in faults.CONDITIONS.items()))


def _section(title: str, lines: Iterable[tuple[str, str]]) -> str:
    return "\n".join([title, *(f"  {name:<18}{line}" for name, line in lines)])


def read(values: Mapping[str, Any]) -> Settings:
    """Settings from what argparse found. Raises SettingsError, which names the option."""
    found: dict[str, Any] = {}
    for option in OPTIONS:
        value = values.get(option.name)
        if option.metavar is None:
            found[option.name] = bool(value)
        elif value is not None:
            given = tuple(value) if option.read is None else option.read(value, option=option.flag)
            found[option.name] = given
    return Settings(**found)
