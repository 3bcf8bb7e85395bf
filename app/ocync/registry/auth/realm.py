"""
Where tokens may be asked for. Pure.

It is the registry that names the place: it must not be able to send us, and our secrets, anywhere it likes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from ocync.lib.errors import ProtocolError
from ocync.lib.ssrf import may_delegate_to

if TYPE_CHECKING:
    from ocync.oci.reference import Registry

_MAX_LENGTH = 8 * 1024
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", re.ASCII)
_WHITE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")


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
    if not may_delegate_to(own, host):
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


def _refused(registry: Registry, why: str) -> ProtocolError:
    return ProtocolError(
        f"{registry.host} names a token service that {why}; it is not asked, and no credentials are sent",
        host=registry.host,
    )
