"""
Which hosts a registry's answer may send us to (against server-side request forgery). Pure.

A registry names other hosts: a token service, a redirect, the Location of an upload. It must not be able to send us
to hosts that only this machine can reach, above all not to a cloud's metadata service, which hands out credentials.
"""

from __future__ import annotations

import ipaddress
import socket
from enum import IntEnum

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")
_METADATA_NAMES = (
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
)
# Metadata services: AWS and Google by IPv6, Alibaba, Azure. The others have link-local addresses.
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class NetworkScope(IntEnum):
    """What kind of network a host is on, from the public to the most sensitive."""

    ANYWHERE = 0
    PRIVATE = 1
    LOOPBACK = 2
    NEVER = 3


def scope_of(host: str) -> NetworkScope:
    """Return the kind of network of a host by its name or address alone; nothing is resolved."""
    name = host.rstrip(".").lower()
    if name in _METADATA_NAMES:
        return NetworkScope.NEVER
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return NetworkScope.LOOPBACK
    address = _address(name)
    if address is None:
        return NetworkScope.ANYWHERE
    if address.is_loopback:
        return NetworkScope.LOOPBACK
    if _is_special(address) or address.is_reserved:
        return NetworkScope.NEVER
    return NetworkScope.ANYWHERE if address.is_global else NetworkScope.PRIVATE


def may_delegate_to(own: str, other: str) -> bool:
    """Return whether a registry at `own` may name `other` as its token service: not one further inside."""
    if own.rstrip(".").lower() == other.rstrip(".").lower():
        return True
    return scope_of(other) is not NetworkScope.NEVER and scope_of(other) <= scope_of(own)


def may_redirect_to(own: str, other: str) -> bool:
    """
    Return whether an answer of `own` may send requests without credentials to `other`.

    Unlike `may_delegate_to`, private addresses are allowed: companies' registries keep blobs there.
    """
    return may_delegate_to(own, other) or scope_of(other) <= NetworkScope.PRIVATE


def is_forbidden_address(address: str) -> bool:
    """Return whether no name may resolve to this address: a metadata service's, or one of no single host."""
    found = _address(address)
    return found is not None and _is_special(found)


def _is_special(address: _Ip) -> bool:
    return address in _METADATA or address.is_link_local or address.is_unspecified or address.is_multicast


def _address(name: str) -> _Ip | None:
    """Parse a host that is an address, also in the forms that the C library accepts (127.1, 0x7f01)."""
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(name)) if name[:1].isdigit() else None
        except (OSError, ValueError):
            return None
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if inside is None and address in _NAT64:
            inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inside or address
    return address
