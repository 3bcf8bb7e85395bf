"""
Where tokens may be asked for. Pure.

It is the registry that names the place: it must not be able to send us, and our secrets, anywhere it likes.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from enum import IntEnum
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from ocync.errors import ProtocolError

if TYPE_CHECKING:
    from ocync.oci.reference import Registry

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
_MAX_LENGTH = 8 * 1024
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", re.ASCII)
_WHITE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")


class _Reach(IntEnum):
    """Who can be reached at a host, from the widest to the most sensitive."""

    ANYWHERE = 0
    PRIVATE = 1
    LOOPBACK = 2
    NEVER = 3


def locate(realm: str, answered: str, registry: Registry) -> str:
    """
    Return the URL of the token service that a challenge names, `realm` being relative to the URL that answered.

    Raises ProtocolError when tokens are not asked for there: without TLS though the registry has it, with a user
    name in the URL, or at an address of this machine or network that the registry itself is not at.
    """
    url = _split(realm.strip(), answered)
    if url is None:
        raise _refused(registry, "is no http URL")
    host = url.hostname or ""
    if url.scheme == "http" and registry.scheme == "https":
        raise _refused(registry, f"at {host} is asked without TLS")
    if url.username is not None or url.password is not None:
        raise _refused(registry, f"at {host} has a user name in its URL")
    own = urlsplit(registry.api).hostname or ""
    if host.rstrip(".") != own.rstrip(".") and not _may_send(_reach(own), _reach(host)):
        raise _refused(registry, f"has the address {host[:80]}, which belongs to this machine or its network")
    return urlunsplit((url.scheme, url.netloc, url.path or "/", url.query, ""))


def _split(realm: str, answered: str) -> SplitResult | None:
    """Return the absolute URL of a realm; None for what no request can be sent to."""
    if len(realm) > _MAX_LENGTH or _WHITE_OR_CONTROL.search(realm):
        return None
    try:
        url = urlsplit(urljoin(answered, realm))
        usable = url.scheme in ("http", "https") and _HOST.fullmatch(url.hostname or "") and url.port != 0
    except ValueError:
        return None
    return url if usable else None


def _may_send(own: _Reach, other: _Reach) -> bool:
    """Tell whether a registry of the one reach may name a service of the other: never one further inside."""
    return other is not _Reach.NEVER and other <= own


def _reach(host: str) -> _Reach:
    name = host.rstrip(".").lower()
    if name in _METADATA_NAMES:
        return _Reach.NEVER
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return _Reach.LOOPBACK
    address = _address(name)
    if address is None:
        return _Reach.ANYWHERE
    if address.is_loopback:
        return _Reach.LOOPBACK
    if (
        address in _METADATA
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address.is_reserved
    ):
        return _Reach.NEVER
    return _Reach.ANYWHERE if address.is_global else _Reach.PRIVATE


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host literally is, also in the forms that the C library takes (127.1, 0x7f01)."""
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(name)) if name[:1].isdigit() else None
        except OSError:
            return None
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if inside is None and address in _NAT64:
            inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inside or address
    return address


def _refused(registry: Registry, why: str) -> ProtocolError:
    return ProtocolError(
        f"{registry.host} names a token service that {why}; it is not asked, and no credentials are sent",
        host=registry.host,
    )
