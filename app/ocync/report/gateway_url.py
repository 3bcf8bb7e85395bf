"""The address of a Pushgateway, and the URL of a group of metrics there. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx

from ocync.lib.errors import ConfigError
from ocync.registry.http.proxy import ProxyRules

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The parts of a Pushgateway's address."""

    url: httpx.URL
    """Without userinfo, query and final slash."""
    account: tuple[str, str] | None
    """User name and password, if the URL has them."""
    proxy: str | None
    """The URL of the proxy, if there is one."""

    @classmethod
    def of(cls, url: str, environ: Mapping[str, str]) -> Gateway:
        """Parse a URL; without a scheme it means HTTP. Raises ConfigError."""
        # The URL may hold a password, so the error shows neither the URL nor the message of the parser.
        wrong = ConfigError("metrics.pushgateway.url is not a URL", hint="write http://host:port")
        try:
            full = httpx.URL(url if "://" in url else f"http://{url}")
        except (httpx.InvalidURL, ValueError):
            raise wrong from None
        if full.scheme not in ("http", "https") or not full.host:
            raise wrong
        bare = full.copy_with(userinfo=b"", query=None, fragment=None)
        return cls(
            url=httpx.URL(str(bare).rstrip("/")),
            account=(full.username, full.password) if full.userinfo else None,
            proxy=_proxy_to(bare, environ),
        )

    @property
    def name(self) -> str:
        """Scheme, host and port, which name the gateway in messages."""
        return origin_of(self.url)

    def group(self, job: str, grouping: Mapping[str, str]) -> str:
        """Return the URL of a group."""
        return str(self.url).rstrip("/") + group_path(job, grouping)


def origin_of(url: httpx.URL) -> str:
    """Return scheme, host and port of a URL, which hold no secret."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def group_path(job: str, grouping: Mapping[str, str]) -> str:
    """Return the path of a group: `/metrics/job/JOB/LABEL/VALUE…`, in the order of the labels."""
    parts = [("job", job), *sorted((name, value) for name, value in grouping.items() if name != "job")]
    return "/metrics" + "".join(_segment(name, value) for name, value in parts)


def _segment(name: str, value: str) -> str:
    """Return one label; in base64 if a path can't hold the value (Pushgateway's README, "URL")."""
    label = quote(name, safe="", errors="replace")
    if value == "":
        # A path may lose an empty part, so one padding character stands for the empty value.
        return f"/{label}@base64/="
    if "/" in value or value in (".", ".."):
        return f"/{label}@base64/{base64.urlsafe_b64encode(value.encode('utf-8', 'replace')).decode()}"
    return f"/{label}/{quote(value, safe='', errors='replace')}"


def _proxy_to(url: httpx.URL, environ: Mapping[str, str]) -> str | None:
    """
    Return the proxy that the environment sets for the URL.

    There is none for names that only the DNS of a cluster knows (`pushgateway`, `pushgateway.monitoring.svc`): a
    proxy outside the cluster can't reach them, and NO_PROXY is seldom complete.
    """
    name = url.host.rstrip(".").lower()
    if ("." not in name and ":" not in name) or name.endswith((".svc", ".cluster.local")):
        return None
    port = url.port or (443 if url.scheme == "https" else 80)
    return ProxyRules.from_environment(environ).proxy_for(url.scheme, url.host, port)
