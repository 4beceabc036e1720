"""What one bind is told about its SMSC."""

from __future__ import annotations

import dataclasses
from typing import Literal

BindKind = Literal["transceiver", "transmitter", "receiver"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BindSettings:
    """How to reach one SMSC and how to behave there. Times are seconds; 0 switches the inactivity timer and
    enquire_link off. `window` is the most submits unanswered at once on this bind. With `data_sm` submits go
    as data_sm, and their bodies must be its (`pdu.encode_data_sm_body`).
    """

    host: str
    port: int
    system_id: str
    password: str = dataclasses.field(repr=False)
    system_type: str = ""
    bind: BindKind = "transceiver"
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""
    tls: bool = False
    tls_verify: bool = True
    tls_ca_file: str = ""
    tls_server_name: str = ""
    window: int = 10
    data_sm: bool = False
    connect_timeout: float = 10.0
    bind_timeout: float = 10.0
    response_timeout: float = 60.0
    enquire_link_seconds: float = 30.0
    enquire_link_timeout: float = 10.0
    inactivity_seconds: float = 0.0
    unbind_timeout: float = 5.0
    reconnect_min_seconds: float = 1.0
    reconnect_max_seconds: float = 15.0
    stable_seconds: float = 10.0
