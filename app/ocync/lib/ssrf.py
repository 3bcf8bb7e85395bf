"""
Which hosts an answer may lead to. Pure.

A registry names places: a token service, a redirect, the Location of an upload. It must not be able to send us to
what only this machine can reach, above all not to the metadata services that hand out credentials in a cloud.
"""

from __future__ import annotations

import ipaddress
import socket
from enum import IntEnum

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")
# The names of the clouds' metadata services, which hand out credentials to whoever asks from inside.
_METADATA_NAMES = (
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
)
# AWS and Google by IPv6, Alibaba, Azure; the others are link-local addresses.
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Reachability(IntEnum):
    """Who can be reached at a host, from the widest to the most sensitive."""

    ANYWHERE = 0
    PRIVATE = 1
    LOOPBACK = 2
    NEVER = 3


def reachability(host: str) -> Reachability:
    """Return who is reached at a host, as far as its name or address says so: nothing is looked up."""
    name = host.rstrip(".").lower()
    if name in _METADATA_NAMES:
        return Reachability.NEVER
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return Reachability.LOOPBACK
    address = _address(name)
    if address is None:
        return Reachability.ANYWHERE
    if address.is_loopback:
        return Reachability.LOOPBACK
    if _is_nobody_s(address) or address.is_reserved:
        return Reachability.NEVER
    return Reachability.ANYWHERE if address.is_global else Reachability.PRIVATE


def may_delegate_to(own: str, other: str) -> bool:
    """Return whether a registry at the one host may name the other: itself, or one that is no further inside."""
    return _same(own, other) or (
        reachability(other) is not Reachability.NEVER and reachability(other) <= reachability(own)
    )


def may_redirect_to(own: str, other: str) -> bool:
    """
    Return whether an answer from the one host may send requests without credentials to the other.

    As `may_delegate_to`, but private addresses are allowed: registries of companies keep their blobs there.
    """
    return may_delegate_to(own, other) or reachability(other) <= Reachability.PRIVATE


def is_never_meant(address: str) -> bool:
    """Return whether a name that leads to this address is not to be followed: to a metadata service, or nowhere."""
    found = _address(address)
    return found is not None and _is_nobody_s(found)


def _same(one: str, other: str) -> bool:
    return one.rstrip(".").lower() == other.rstrip(".").lower()


def _is_nobody_s(address: _Ip) -> bool:
    return address in _METADATA or address.is_link_local or address.is_unspecified or address.is_multicast


def _address(name: str) -> _Ip | None:
    """Return the address that a host literally is, also in the forms that the C library takes (127.1, 0x7f01)."""
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
