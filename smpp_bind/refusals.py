"""What an operator's command_status says of a submit that it did not take, and what to do about it.

* permanent: this operator will not take the message. Routing tries the next one; the last one's refusal ends it.
* temporary: the message was not taken and waits, ever longer. One part of a long message is sent again by itself.
* throttling: nothing more for a while. The whole operator pauses, nothing is lost or overtaken.

A status that is in no table is permanent, those of vendors (0x400 to 0x4FF) as well: they mean another thing at each
operator, and mostly credit, content or a barred recipient. Waiting would hold the message where it may never be
taken, while another operator gets it at once; and a status seen often opens the operator's breaker. Where one means
"later", the operator's setting `errors` says so.

Sources: SMPP 3.4, section 5.1.3; SMPP 5.0, section 4.7.6.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway import errors as gateway_errors
from routing.errors import OperatorSettingsError
from smpp_bind import pdu


class Kind(enum.StrEnum):
    PERMANENT = "permanent"
    TEMPORARY = "temporary"
    THROTTLING = "throttling"


class Refusal(NamedTuple):
    """``error_code``: what the message's rejection is told as, where the status says what it is about."""

    kind: Kind
    error_code: str | None = None


_PERMANENT: Final = Refusal(Kind.PERMANENT)
_TEMPORARY: Final = Refusal(Kind.TEMPORARY)
_THROTTLING: Final = Refusal(Kind.THROTTLING)
_RECIPIENT: Final = Refusal(Kind.PERMANENT, "INVALID_RECIPIENT")
_SENDER: Final = Refusal(Kind.PERMANENT, "INVALID_SENDER")
_TEXT: Final = Refusal(Kind.PERMANENT, "UNENCODABLE")

# A wrong type of number or numbering plan is a matter of our settings and not of the number: no error code, so that
# another operator is tried and the breaker counts it.
TABLE: Final[Mapping[int, Refusal]] = {
    0x01: _TEXT,  # ESME_RINVMSGLEN
    0x02: _PERMANENT,  # ESME_RINVCMDLEN
    0x03: _PERMANENT,  # ESME_RINVCMDID
    0x04: _TEMPORARY,  # ESME_RINVBNDSTS: the link's trouble
    0x05: _TEMPORARY,  # ESME_RALYBND: likewise
    0x06: _PERMANENT,  # ESME_RINVPRTFLG
    0x07: _PERMANENT,  # ESME_RINVREGDLVFLG
    0x08: _TEMPORARY,  # ESME_RSYSERR
    0x0A: _SENDER,  # ESME_RINVSRCADR
    0x0B: _RECIPIENT,  # ESME_RINVDSTADR
    0x0C: _PERMANENT,  # ESME_RINVMSGID
    0x0D: _TEMPORARY,  # ESME_RBINDFAIL
    0x0E: _PERMANENT,  # ESME_RINVPASWD
    0x0F: _PERMANENT,  # ESME_RINVSYSID
    0x11: _PERMANENT,  # ESME_RCANCELFAIL
    0x13: _PERMANENT,  # ESME_RREPLACEFAIL
    0x14: _THROTTLING,  # ESME_RMSGQFUL
    0x15: _PERMANENT,  # ESME_RINVSERTYP
    0x33: _PERMANENT,  # ESME_RINVNUMDESTS
    0x34: _RECIPIENT,  # ESME_RINVDLNAME
    0x40: _PERMANENT,  # ESME_RINVDESTFLAG
    0x42: _PERMANENT,  # ESME_RINVSUBREP
    0x43: _PERMANENT,  # ESME_RINVESMCLASS
    0x44: _PERMANENT,  # ESME_RCNTSUBDL
    0x45: _PERMANENT,  # ESME_RSUBMITFAIL
    0x48: _PERMANENT,  # ESME_RINVSRCTON
    0x49: _PERMANENT,  # ESME_RINVSRCNPI
    0x50: _PERMANENT,  # ESME_RINVDSTTON
    0x51: _PERMANENT,  # ESME_RINVDSTNPI
    0x53: _PERMANENT,  # ESME_RINVSYSTYP
    0x54: _PERMANENT,  # ESME_RINVREPFLAG
    0x55: _PERMANENT,  # ESME_RINVNUMMSGS
    0x58: _THROTTLING,  # ESME_RTHROTTLED
    0x61: _PERMANENT,  # ESME_RINVSCHED
    0x62: _PERMANENT,  # ESME_RINVEXPIRY
    0x63: _PERMANENT,  # ESME_RINVDFTMSGID
    0x64: _TEMPORARY,  # ESME_RX_T_APPN
    0x65: _PERMANENT,  # ESME_RX_P_APPN
    0x66: _PERMANENT,  # ESME_RX_R_APPN
    0x67: _PERMANENT,  # ESME_RQUERYFAIL
    0xC0: _PERMANENT,  # ESME_RINVOPTPARSTREAM
    0xC1: _PERMANENT,  # ESME_ROPTPARNOTALLWD
    0xC2: _PERMANENT,  # ESME_RINVPARLEN
    0xC3: _PERMANENT,  # ESME_RMISSINGOPTPARAM
    0xC4: _PERMANENT,  # ESME_RINVOPTPARAMVAL
    0xFE: _PERMANENT,  # ESME_RDELIVERYFAILURE
    0xFF: _PERMANENT,  # ESME_RUNKNOWNERR
    # SMPP 5.0
    0x100: _PERMANENT,  # ESME_RSERTYPUNAUTH
    0x101: _PERMANENT,  # ESME_RPROHIBITED
    0x102: _TEMPORARY,  # ESME_RSERTYPUNAVAIL
    0x103: _PERMANENT,  # ESME_RSERTYPDENIED
    0x104: _TEXT,  # ESME_RINVDCS
    0x105: _SENDER,  # ESME_RINVSRCADDRSUBUNIT
    0x106: _RECIPIENT,  # ESME_RINVDSTADDRSUBUNIT
    0x107: _PERMANENT,  # ESME_RINVBCASTFREQINT
    0x108: _PERMANENT,  # ESME_RINVBCASTALIAS_NAME
    0x109: _PERMANENT,  # ESME_RINVBCASTAREAFMT
    0x10A: _PERMANENT,  # ESME_RINVNUMBCAST_AREAS
    0x10B: _PERMANENT,  # ESME_RINVBCASTCNTTYPE
    0x10C: _PERMANENT,  # ESME_RINVBCASTMSGCLASS
    0x10D: _PERMANENT,  # ESME_RBCASTFAIL
    0x10E: _PERMANENT,  # ESME_RBCASTQUERYFAIL
    0x10F: _PERMANENT,  # ESME_RBCASTCANCELFAIL
    0x110: _PERMANENT,  # ESME_RINVBCAST_REP
    0x111: _PERMANENT,  # ESME_RINVBCASTSRVGRP
    0x112: _PERMANENT,  # ESME_RINVBCASTCHANIND
}

ERROR_CODES: Final = frozenset(gateway_errors.OUTCOMES) | {"INVALID_RECIPIENT", "INVALID_SENDER"}
"""What a refusal may be told as."""

_KINDS: Final = tuple(kind.value for kind in Kind)
_STATUSES: Final = {name: status for status, name in pdu.STATUS_NAMES.items()}


class Refusals:
    """The table with an operator's own rules laid over it."""

    def __init__(self, own: Mapping[int, Refusal] | None = None) -> None:
        self._table = {**TABLE, **(own or {})}
        self.throttling = frozenset(
            status for status, refusal in self._table.items() if refusal.kind is Kind.THROTTLING
        )

    def of(self, status: int) -> Refusal:
        return self._table.get(status, _PERMANENT)


def read(*, slug: str, errors: Mapping[str, str]) -> Refusals:
    """``errors`` of an operator's settings: a command_status as 0x0000000B, 1035 or ESME_RINVDSTADR, and what it is:
    ``permanent``, ``temporary``, ``throttling``, or ``permanent:INVALID_RECIPIENT`` and the like.

    Raises:
        OperatorSettingsError: says which of them, and what it may be.
    """
    own: dict[int, Refusal] = {}
    for name, told in errors.items():
        kind, colon, error_code = told.partition(":")
        if kind not in _KINDS or (colon and (kind != Kind.PERMANENT or error_code not in ERROR_CODES)):
            raise OperatorSettingsError(
                f"{slug}: errors[{name!r}] must be one of {', '.join(_KINDS)}, or permanent with a colon and one of "
                f"{', '.join(sorted(ERROR_CODES))}, not {told!r}."
            )
        own[_status(slug, name)] = Refusal(Kind(kind), error_code or None)
    return Refusals(own)


def _status(slug: str, name: str) -> int:
    status = _STATUSES.get(name.strip().upper())
    if status is None:
        try:
            status = int(name, 16 if name.strip().lower().startswith("0x") else 10)
        except ValueError:
            status = 0
    if not 1 <= status <= 0xFFFFFFFF:
        raise OperatorSettingsError(
            f"{slug}: errors[{name!r}] must be named by a command_status such as 0x0000000B, 1035 or ESME_RINVDSTADR."
        )
    return status
