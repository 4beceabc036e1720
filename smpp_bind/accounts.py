"""An SMPP operator's settings: read from its row, checked, and turned into binds.

``settings`` of the operator's row, with their defaults::

    host, port, system_id        required
    bind           transceiver | transmitter | receiver | pair (one transmitter and one receiver)
    binds          1             how many of them
    window         10            unanswered submits a bind
    tls false, tls_verify true, tls_ca_file "", tls_server_name ""
    system_type "", service_type "", address_range "", interface_version 52
    enquire_link_seconds 30, enquire_link_timeout 10, bind_timeout 10, response_timeout 60
    concatenation  udh8 | udh16 | sar | payload
    alphabet       auto (GSM, else UCS-2) | latin1 (GSM, Latin-1, else UCS-2)
    gsm_data_coding 0, source_ton, source_npi, destination_ton 1, destination_npi 1
    data_sm        false         submit by data_sm instead of submit_sm

``secrets``: ``password``.
"""

import dataclasses
from typing import Any

from routing.contract import OperatorSettings
from routing.errors import OperatorSettingsError
from smpp_bind import encoding
from smpp_bind.bind import BindSettings

_BINDS = {
    "transceiver": ("transceiver",),
    "transmitter": ("transmitter",),
    "receiver": ("receiver",),
    "pair": ("transmitter", "receiver"),
}
_OWN = frozenset(
    {
        "bind",
        "binds",
        "concatenation",
        "alphabet",
        "gsm_data_coding",
        "source_ton",
        "source_npi",
        "destination_ton",
        "destination_npi",
        "service_type",
        "data_sm",
    }
)
_FIELDS = {field.name: field for field in dataclasses.fields(BindSettings)}
_ALLOWED = {"port": range(1, 65_536), "window": range(1, 1_001), "binds": range(1, 101)}
_CONCATENATIONS = ("udh8", "udh16", "sar", "payload")


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """How messages are put into PDUs for one operator, and over which binds."""

    binds: tuple[BindSettings, ...]
    coding: encoding.Coding
    concatenation: encoding.Concatenation
    source_ton: int | None
    source_npi: int | None
    destination_ton: int
    destination_npi: int
    service_type: str
    data_sm: bool

    @property
    def window(self) -> int:
        """Unanswered submits over all binds."""
        return sum(bind.window for bind in self.binds if bind.bind != "receiver")


def read(operator: OperatorSettings) -> Account:
    """Check an operator's settings.

    Raises:
        OperatorSettingsError: says which setting, and what it may be.
    """
    given = dict(operator.settings)
    unknown = set(given) - _OWN - set(_FIELDS)
    if unknown:
        raise OperatorSettingsError(f"{operator.slug}: there is no setting {', '.join(sorted(unknown))}.")
    for name in ("host", "port", "system_id"):
        if not given.get(name):
            raise OperatorSettingsError(f"{operator.slug}: {name} is missing.")
    base = {name: _typed(operator, name, given[name]) for name in given if name in _FIELDS and name != "bind"}
    for name, allowed in _ALLOWED.items():
        number = _number(operator, given, name, None)
        if number is not None and number not in allowed:
            raise OperatorSettingsError(
                f"{operator.slug}: {name} must be {allowed.start} to {allowed.stop - 1}."
            )
    kinds = _BINDS.get(_one_of(operator, given, "bind", tuple(_BINDS), "transceiver"), ())
    binds = tuple(
        BindSettings(**base, bind=kind, password=str(operator.secrets.get("password", "")))  # type: ignore[arg-type]
        for _ in range(_number(operator, given, "binds", 1) or 1)
        for kind in kinds
    )
    return Account(
        binds=binds,
        coding=encoding.Coding(
            alphabet=_one_of(operator, given, "alphabet", ("auto", "latin1"), "auto"),  # type: ignore[arg-type]
            gsm_data_coding=_number(operator, given, "gsm_data_coding", 0) or 0,
        ),
        concatenation=_one_of(operator, given, "concatenation", _CONCATENATIONS, "udh8"),  # type: ignore[arg-type]
        source_ton=_number(operator, given, "source_ton", None),
        source_npi=_number(operator, given, "source_npi", None),
        destination_ton=_number(operator, given, "destination_ton", 1) or 0,
        destination_npi=_number(operator, given, "destination_npi", 1) or 0,
        service_type=str(given.get("service_type", "")),
        data_sm=bool(given.get("data_sm", False)),
    )


def _typed(operator: OperatorSettings, name: str, value: Any) -> Any:
    """A bind's setting in the type of its default; numbers may come as text."""
    kind = _FIELDS[name].type
    wanted = kind if isinstance(kind, str) else getattr(kind, "__name__", "str")
    try:
        if wanted == "bool":
            return {True: True, False: False, "true": True, "false": False}[value]
        if wanted == "int":
            return int(value)
        if wanted == "float":
            return float(value)
    except (KeyError, TypeError, ValueError) as error:
        raise OperatorSettingsError(f"{operator.slug}: {name} must be {wanted}, not {value!r}.") from error
    return str(value)


def _number(operator: OperatorSettings, given: dict[str, Any], name: str, default: int | None) -> int | None:
    value = given.get(name, default)
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise OperatorSettingsError(f"{operator.slug}: {name} must be a number, not {value!r}.") from error


def _one_of(
    operator: OperatorSettings, given: dict[str, Any], name: str, choices: tuple[str, ...], default: str
) -> str:
    value = given.get(name, default)
    if value not in choices:
        raise OperatorSettingsError(
            f"{operator.slug}: {name} must be one of {', '.join(choices)}, not {value!r}."
        )
    return str(value)
