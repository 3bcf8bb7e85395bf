"""Which proxy a request goes through: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in either case."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ocync.lib.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


_WITH_PORT = re.compile(r"(.+):([0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """The environment's proxies, whose URLs may hold a password; `bypass` are the entries of NO_PROXY."""

    http: str | None = field(default=None, repr=False)
    https: str | None = field(default=None, repr=False)
    bypass: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ProxyRules:
        """
        Read the usual variables; lower case wins, as with curl. Raises ConfigError for an unusable proxy URL.

        The upper-case HTTP_PROXY is honoured too: this is no CGI program (httpoxy does not apply).
        """

        def variable(name: str) -> str:
            return (environ.get(name.lower()) or environ.get(name) or "").strip()

        def proxy(name: str) -> str | None:
            return next((_checked(each, value) for each in (name, "ALL_PROXY") if (value := variable(each))), None)

        bypass = tuple(entry for entry in re.split(r"[,\s]+", variable("NO_PROXY").lower()) if entry)
        return cls(http=proxy("HTTP_PROXY"), https=proxy("HTTPS_PROXY"), bypass=bypass)

    def proxy_for(self, scheme: str, host: str, port: int) -> str | None:
        """Return the proxy's URL for a request, or None for a direct connection."""
        proxy = self.https if scheme == "https" else self.http
        host = host.lower().strip("[]").rstrip(".")
        if proxy is None or _is_loopback(host):
            return None
        return None if any(_matches(entry, host, port) for entry in self.bypass) else proxy


def _checked(name: str, url: str) -> str:
    full = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(full)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{name} is not a proxy URL", hint="write http://host:port; SOCKS is not supported")
    return full


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether one entry of NO_PROXY (`*`, host, .suffix, host:port, address, CIDR) covers the host."""
    if entry == "*":
        return True
    network = _network(entry)
    if network is None and (match := _WITH_PORT.fullmatch(entry)):
        if int(match.group(2)) != port:
            return False
        entry = match.group(1)
        network = _network(entry)
    if network is not None:
        try:
            return ipaddress.ip_address(host) in network
        except ValueError:
            return False
    bare = entry.removeprefix("*").strip(".")
    return bool(bare) and (host == bare or host.endswith(f".{bare}"))


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None
