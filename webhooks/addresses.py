"""Which addresses callbacks may reach: the check against server-side request forgery.

It is made on the address that the connection goes to, after resolution, so that neither a spelling of the host
(decimal, octal, mapped) nor a name that resolves differently the second time gets around it.
``ipaddress.is_global`` alone lets multicast, NAT64 and some metadata addresses pass, hence the lists.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings

_REFUSED_V4 = [
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",  # Azure's metadata and DNS
        "192.0.0.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
    )
]
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = [ip_network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
# Interface identifiers with an IPv4 address behind them, whatever the prefix (RFC 5214 §6.1).
_ISATAP = (0x00005EFE, 0x02005EFE)

Network = IPv4Network | IPv6Network


def is_allowed(*, address: str, networks: Sequence[Network] | None = None) -> bool:
    """Whether callbacks may connect to a numeric address.

    ``networks`` (default: settings.CALLBACK_ALLOWED_NETWORKS) are allowed although they are private.
    """
    if networks is None:
        return _is_allowed(address, tuple(settings.CALLBACK_ALLOWED_NETWORKS))
    return _is_allowed(address, tuple(networks))


@lru_cache(maxsize=4096)
def _is_allowed(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if any(parsed in network for network in networks):
        return True
    if isinstance(parsed, IPv4Address):
        return _is_public_v4(parsed)
    return parsed.scope_id is None and _is_public_v6(parsed)


def _is_public_v4(address: IPv4Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _REFUSED_V4)
    )


def _is_public_v6(address: IPv6Address) -> bool:
    return (
        address in _GLOBAL_V6
        and address.is_global
        and not any(address in network for network in _REFUSED_V6)
        and (int(address) >> 32) & 0xFFFFFFFF not in _ISATAP
    )
