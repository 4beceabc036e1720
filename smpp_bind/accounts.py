"""An SMPP operator's settings: read from its row, checked, and turned into binds and into how submits are written.

``settings`` of the operator's row, with their defaults. A setting that there is not, or of another form, is refused
by its name before anything is connected. Numbers may be given as text.

The link::

    host, port, system_id        required
    bind           transceiver | transmitter | receiver | pair (one transmitter and one receiver)
    binds          1             how many of them each worker opens, to 100
    max_binds      none          how many all workers may have open together, to 1000
    window         10            unanswered submits a bind, to 1000
    tls false, tls_verify true, tls_ca_file "", tls_server_name ""
    system_type "", address_range "", addr_ton 0, addr_npi 0, interface_version 52
    connect_timeout 10, bind_timeout 10, response_timeout 60, unbind_timeout 5      seconds
    enquire_link_seconds 30, inactivity_seconds 0     0 is never
    enquire_link_timeout 10, reconnect_min_seconds 1, reconnect_max_seconds 15, stable_seconds 10

``secrets``: ``password``.

Texts::

    default_alphabet  gsm | gsm_packed | latin1 | ascii | ucs2      what data_coding 0 means at this SMSC, both ways
    alphabet_1        ascii | gsm     what data_coding 1 means (gsm where gsm_data_coding is 1)
    gsm_data_coding   0             what texts of the GSM alphabet are sent under, in the alphabet that it means
    alphabet       auto (then UCS-2) | latin1 (then Latin-1 under data_coding 3, then UCS-2)
    transliterate  false         typographic quotes, dashes, ellipses, spaces to plain ones where that makes it GSM
    concatenation  udh8 | udh16 | sar | payload       how the parts of a long text are joined
    flash          ""            metadata.<key>: messages with true, yes or 1 there are shown at once (class 0)

What a tenant is charged and the rate counts is the parts announced at acceptance: 160 and 153 characters of the GSM
alphabet, 70 and 67 of UCS-2. ``payload`` submits once and counts as so many; ``udh16``, and a default alphabet that
lacks characters of GSM, can need more submits, which then take more of the rate.

Addresses::

    default_sender ""            of messages without one
    ton_npi        {}            by kind of address, such as {"alphanumeric": [5, 0], "short": [3, 1]}
    source_ton, source_npi, destination_ton, destination_npi      for every kind, whatever it is

The kinds, with what they have unless given: ``alphanumeric`` [5, 0], at most 11 characters; ``international`` [1, 1],
at most 20 digits; ``national`` [2, 1], digits after a zero; ``short`` [3, 0], at most 8 digits without a plus.

Submits::

    data_sm        false         submit by data_sm instead of submit_sm
    service_type "", protocol_id 0, priority_flag 0, replace_if_present false
    validity       absolute | relative | none      how a message's validity is sent on; data_sm has it in seconds
    receipts       all | failures | none           which receipts are asked for
    intermediate_receipts false  ask for those on the way as well
    tlvs           {}            vendors' TLVs by tag: {"0x1400": "metadata.dlt_entity_id", "0x1402": "text:1101",
                                 "0x1401": {"from": "metadata.dlt_template_id", "type": "octets", "required": true,
                                 "max": 30}}; type is octets | cstring | int1 | int2 | int4
    errors         {}            by command_status what a refusal is, over the table of refusals.py:
                                 {"0x0000000B": "permanent", "1035": "throttling", "ESME_RSUBMITFAIL": "temporary",
                                 "0x45": "permanent:INVALID_RECIPIENT"}

Receipts that are not asked for do not come: with ``failures`` or ``none`` a message stays ``sent``, and
``no_receipts_minutes`` of the operator had better be null.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from routing.contract import OperatorSettings
from routing.errors import OperatorSettingsError
from routing.transports.http_settings import Reader
from smpp_bind import addresses, encoding, errors, outgoing, refusals, tlvs
from smpp_bind.settings import BindSettings

_BINDS = {
    "transceiver": ("transceiver",),
    "transmitter": ("transmitter",),
    "receiver": ("receiver",),
    "pair": ("transmitter", "receiver"),
}
_LIMITS = {
    "port": (1, 65_535),
    "window": (1, 1000),
    "interface_version": (0, 255),
    "addr_ton": (0, 255),
    "addr_npi": (0, 255),
}
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.01, 86_400.0
_MAY_BE_NEVER = frozenset({"enquire_link_seconds", "inactivity_seconds", "stable_seconds"})
_FIELDS = [
    field for field in dataclasses.fields(BindSettings) if field.name not in {"bind", "password", "data_sm"}
]
_RECEIPTS = {"all": 1, "failures": 2, "none": 0}
_INTERMEDIATE = 0x10
_LATIN1_DATA_CODING = 3
_METADATA = re.compile(r"metadata\.(.+)")
# What may turn out as more submits than were announced.
_FEWER_CHARACTERS = frozenset({"latin1", "ascii", "ucs2"})


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """How messages are put into PDUs for one operator, and over which binds.

    ``alphabets``: what data_coding 0 and 1 mean there. ``recounts``: a text may make more submits than its parts.
    """

    binds: tuple[BindSettings, ...]
    form: outgoing.Form
    refusals: refusals.Refusals
    alphabets: Mapping[int, encoding.Alphabet]
    recounts: bool

    @property
    def window(self) -> int:
        """Unanswered submits over all binds."""
        return sum(bind.window for bind in self.binds if bind.bind != "receiver")


def read(operator: OperatorSettings) -> Account:
    """Check an operator's settings.

    Raises:
        OperatorSettingsError: says which setting, and what it may be.
    """
    reader = _Reader(operator)
    alphabets = _alphabets(reader)
    form = _form(reader, alphabets)
    account = Account(
        binds=_binds(reader, data_sm=form.data_sm),
        form=form,
        refusals=refusals.read(slug=operator.slug, errors=reader.texts("errors")),
        alphabets=alphabets,
        recounts=form.concatenation == "udh16" or form.coding.basic in _FEWER_CHARACTERS,
    )
    reader.whole("max_binds", 1, least=1, most=1000)  # the desk's, which shares them out
    reader.done()
    return account


class _Reader(Reader):
    """Numbers and flags may come as text: they did before there was JSON in the admin."""

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.any(name)
        return (
            {"true": True, "false": False}[value]
            if value in ("true", "false")
            else super().flag(name, default=default)
        )

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        found = self.number(name, default, least=least, most=most)
        if found != int(found):
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return int(found)

    def octet(self, name: str) -> int | None:
        """A number of one octet; None when it is not given."""
        return None if self.any(name) is None else self.whole(name, 0, least=0, most=255)

    def written(self, name: str, default: str = "") -> str:
        """A text that a field of a PDU can carry."""
        value = self.text(name, default)
        if not _is_latin(value):
            raise self.wrong(name, "a text of Latin-1 characters")
        return value


def _is_latin(text: str) -> bool:
    return "\0" not in text and all(char <= "\xff" for char in text)


def _binds(reader: _Reader, *, data_sm: bool) -> tuple[BindSettings, ...]:
    for name in ("host", "port", "system_id"):
        reader.needed(name)
    fields = {field.name: _field(reader, field) for field in _FIELDS}
    if fields["reconnect_min_seconds"] > fields["reconnect_max_seconds"]:
        raise reader.wrong(
            "reconnect_min_seconds", f"at most {fields['reconnect_max_seconds']:g}, reconnect_max_seconds"
        )
    if fields["tls"] and fields["tls_ca_file"] and not Path(fields["tls_ca_file"]).is_file():
        raise reader.wrong("tls_ca_file", "a file that this machine has")
    password = str(reader.operator.secrets.get("password", ""))
    if not _is_latin(password):
        raise OperatorSettingsError(f"{reader.operator.slug}: the password must be of Latin-1 characters.")
    kinds = _BINDS[reader.choice("bind", tuple(_BINDS), "transceiver")]
    count = reader.whole("binds", 1, least=1, most=100)
    return tuple(
        BindSettings(**fields, bind=kind, password=password, data_sm=data_sm)  # type: ignore[arg-type]
        for _ in range(count)
        for kind in kinds
    )


def _field(reader: _Reader, field: dataclasses.Field[Any]) -> Any:
    """A bind's setting in the type of its field."""
    name = field.name
    default = None if field.default is dataclasses.MISSING else field.default
    if field.type == "bool":
        return reader.flag(name, default=bool(default))
    if field.type == "int":
        least, most = _LIMITS.get(name, (0, 0x7FFFFFFF))
        return reader.whole(name, default or 0, least=least, most=most)
    if field.type == "float":
        least_seconds = 0.0 if name in _MAY_BE_NEVER else _SHORTEST_SECONDS
        return reader.number(name, default or 0.0, least=least_seconds, most=_LONGEST_SECONDS)
    return reader.written(name, default or "")


def _alphabets(reader: _Reader) -> dict[int, encoding.Alphabet]:
    by_1 = "gsm" if reader.whole("gsm_data_coding", 0, least=0, most=255) == 1 else "ascii"
    return {
        0: reader.choice("default_alphabet", ("gsm", "gsm_packed", "latin1", "ascii", "ucs2"), "gsm"),  # type: ignore[dict-item]
        1: reader.choice("alphabet_1", ("ascii", "gsm"), by_1),  # type: ignore[dict-item]
    }


def _form(reader: _Reader, alphabets: Mapping[int, encoding.Alphabet]) -> outgoing.Form:
    gsm_data_coding = reader.whole("gsm_data_coding", 0, least=0, most=255)
    latin1 = reader.choice("alphabet", ("auto", "latin1"), "auto") == "latin1"
    receipts = _RECEIPTS[reader.choice("receipts", tuple(_RECEIPTS), "all")]
    return outgoing.Form(
        coding=encoding.Coding(
            basic=alphabets.get(gsm_data_coding, "gsm"),
            basic_data_coding=gsm_data_coding,
            latin1_data_coding=_LATIN1_DATA_CODING if latin1 else None,
            transliterate=reader.flag("transliterate", default=False),
        ),
        concatenation=reader.choice("concatenation", ("udh8", "udh16", "sar", "payload"), "udh8"),  # type: ignore[arg-type]
        flash=_metadata(reader, "flash"),
        addressing=_addressing(reader),
        data_sm=reader.flag("data_sm", default=False),
        service_type=reader.written("service_type"),
        protocol_id=reader.whole("protocol_id", 0, least=0, most=255),
        priority=reader.whole("priority_flag", 0, least=0, most=255),
        replace=int(reader.flag("replace_if_present", default=False)),
        validity=reader.choice("validity", ("absolute", "relative", "none"), "absolute"),  # type: ignore[arg-type]
        registered_delivery=receipts | _INTERMEDIATE * reader.flag("intermediate_receipts", default=False),
        tlvs=tlvs.read(slug=reader.operator.slug, given=reader.any("tlvs")),
    )


def _metadata(reader: _Reader, name: str) -> str:
    """The key that a setting names of the metadata; empty when it is not given."""
    value = reader.text(name)
    if not value:
        return ""
    found = _METADATA.fullmatch(value)
    if found is None:
        raise reader.wrong(name, "metadata.<key>")
    return found[1]


def _addressing(reader: _Reader) -> addresses.Addressing:
    try:
        return addresses.Addressing(
            numbers=_numbers(reader),
            default_sender=reader.text("default_sender"),
            source_ton=reader.octet("source_ton"),
            source_npi=reader.octet("source_npi"),
            destination_ton=reader.octet("destination_ton"),
            destination_npi=reader.octet("destination_npi"),
        )
    except errors.UnsendableError as error:
        raise OperatorSettingsError(f"{reader.operator.slug}: default_sender: {error}") from error


def _numbers(reader: _Reader) -> dict[addresses.Kind, tuple[int, int]]:
    """``ton_npi``: type of number and numbering plan by kind of address."""
    given = reader.any("ton_npi")
    if given is None:
        given = {}
    wanted = f"an object of pairs such as [5, 0] by {', '.join(addresses.KINDS)}"
    if not isinstance(given, dict) or not set(given) <= set(addresses.KINDS):
        raise reader.wrong("ton_npi", wanted)
    for pair in given.values():
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_octet, pair)):
            raise reader.wrong("ton_npi", wanted)
    return {**addresses.NUMBERS, **{kind: (pair[0], pair[1]) for kind, pair in given.items()}}


def _is_octet(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255
