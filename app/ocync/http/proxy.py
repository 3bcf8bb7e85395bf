"""Which proxy a request goes through: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in either case."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ocync.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """The environment's proxies; `bypass` are the entries of NO_PROXY."""

    http: str | None = None
    https: str | None = None
    bypass: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ProxyRules:
        """
        Read the usual variables; lower case wins, as with curl. Raises ConfigError for an unusable proxy URL.

        The upper-case HTTP_PROXY is honoured too: this is no CGI program (httpoxy does not apply).
        """

        def variable(name: str) -> str | None:
            return environ.get(name.lower()) or environ.get(name) or None

        everything = variable("ALL_PROXY")
        bypass = tuple(entry.strip().lower() for entry in (variable("NO_PROXY") or "").split(",") if entry.strip())
        return cls(
            http=_checked("HTTP_PROXY", variable("HTTP_PROXY") or everything),
            https=_checked("HTTPS_PROXY", variable("HTTPS_PROXY") or everything),
            bypass=bypass,
        )

    def proxy_for(self, scheme: str, host: str, port: int) -> str | None:
        """Return the proxy's URL for a request, or None for a direct connection."""
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or _is_loopback(host):
            return None
        return None if any(_matches(entry, host.lower(), port) for entry in self.bypass) else proxy


def _checked(name: str, url: str | None) -> str | None:
    if url is None:
        return None
    full = url if "://" in url else f"http://{url}"
    parts = urlsplit(full)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{name} is not a proxy URL", hint="write http://host:port; SOCKS is not supported")
    return full


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _matches(entry: str, host: str, port: int) -> bool:
    """Tell whether one entry of NO_PROXY (`*`, host, .suffix, host:port, address, CIDR) covers the host."""
    if entry == "*":
        return True
    host = host.strip("[]")
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit():
        if int(number) != port:
            return False
        entry = name
    bare = entry.removeprefix("*").removeprefix(".")
    return host == bare or host.endswith(f".{bare}")
