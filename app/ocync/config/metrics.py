"""The section `metrics`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as File
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from ocync.config.credentials import login
from ocync.config.model import MetricsConfig, PushgatewayConfig, Secret
from ocync.config.registries import tls
from ocync.config.section import given
from ocync.config.yaml.node import NOWHERE, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.section import Section

VARIABLE = "OCYNC_PUSHGATEWAY_URL"
"""The environment variable that overrides `metrics.pushgateway.url`."""


def metrics(root: Section, environ: Mapping[str, str]) -> MetricsConfig:
    """Return where metrics are sent; nowhere if nothing is configured."""
    section = root.section("metrics")
    textfile = section.text("textfile")
    if textfile and not textfile.endswith(".prom"):
        section.warn("textfile", "does not end in .prom: the node exporter reads no other files")
    return MetricsConfig(pushgateway=_pushgateway(section, environ), textfile=File(textfile) if textfile else None)


def _pushgateway(metrics: Section, environ: Mapping[str, str]) -> PushgatewayConfig | None:
    section = metrics.section("pushgateway")
    url = environ.get(VARIABLE) or section.text("url")
    username, password = login(section)
    grouping = section.section("grouping")
    for name in grouping.table.entries:
        if name == "job":
            grouping.error(name, "is the label job: set job instead")
        elif name.startswith("__"):
            grouping.error(name, "begins with __, which Prometheus reserves for itself")
    if not url:
        if metrics.has("pushgateway") and section.is_sound("url"):
            message = f"is missing, and {VARIABLE} is not set"
            section.findings.error(message, section.at("url"), metrics.position("pushgateway"))
        return None
    config = PushgatewayConfig(
        url=url,
        grouping={name: grouping.text(name) or "" for name in grouping.table.entries},
        username=username,
        password=password,
        tls=tls(section),
        **given(job=section.text("job")),
    )
    return _checked(config, section, from_environment=bool(environ.get(VARIABLE)))


def _checked(config: PushgatewayConfig, section: Section, *, from_environment: bool) -> PushgatewayConfig:
    """Return the config with user name and password moved out of its URL, so that the URL can be shown."""
    value = None if from_environment else section.value("url")
    path, position = ((VARIABLE,), NOWHERE) if value is None else (section.at("url"), value.position)
    parts = _split(config.url)
    if isinstance(parts, str):
        if not section.findings.affect(path):
            section.findings.error(parts, path, position, value.source if value else None)
        return config
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    if parts.username is None:
        return replace(config, url=url)
    if config.username or config.password:
        message = "holds a user name, and username and password are set: keep one of them"
        section.findings.error(message, path, position)
    origin = VARIABLE if value is None else render(path)
    return replace(
        config,
        url=url,
        username=Secret(value=unquote(parts.username), origin=origin),
        password=Secret(value=unquote(parts.password or ""), origin=origin),
    )


def _split(url: str) -> SplitResult | str:
    """Return the parts of a Pushgateway's URL, or what is wrong with it, without showing its password."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:
        return "is not a URL: write it as http://pushgateway:9091"
    if parts.query or parts.fragment:
        return "has a query or a fragment, and a Pushgateway's URL has none"
    return parts
