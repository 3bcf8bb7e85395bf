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
    from ocync.config.yaml.findings import Findings

VARIABLE = "OCYNC_PUSHGATEWAY_URL"
"""The environment variable that wins over `metrics.pushgateway.url`."""


def metrics(root: Section, environ: Mapping[str, str], findings: Findings) -> MetricsConfig:
    """Return where metrics go; nowhere, where nothing is said of it."""
    section = root.section("metrics")
    textfile = section.text("textfile")
    if textfile and not textfile.endswith(".prom"):
        message = "does not end in .prom: the node exporter reads no other files"
        findings.warn(message, section.at("textfile"), section.place("textfile"))
    return MetricsConfig(
        pushgateway=_pushgateway(section, environ, findings), textfile=File(textfile) if textfile else None
    )


def _pushgateway(metrics: Section, environ: Mapping[str, str], findings: Findings) -> PushgatewayConfig | None:
    section = metrics.section("pushgateway")
    url = environ.get(VARIABLE) or section.text("url")
    username, password = login(section, findings)
    grouping = section.section("grouping")
    for name in grouping.table.entries:
        if name == "job" or name.startswith("__"):
            message = (
                "is the label job: set job instead"
                if name == "job"
                else "begins with __, which Prometheus keeps to itself"
            )
            findings.error(message, grouping.at(name), grouping.place(name))
    if not url:
        if metrics.has("pushgateway") and not findings.touch(section.at("url")):
            findings.error(
                f"is missing, and {VARIABLE} is not set", section.at("url"), metrics.place("pushgateway")
            )
        return None
    config = PushgatewayConfig(
        url=url,
        grouping={name: grouping.text(name) or "" for name in grouping.table.entries},
        username=username,
        password=password,
        tls=tls(section, findings),
        **given(job=section.text("job")),
    )
    return _checked(config, section, from_environment=bool(environ.get(VARIABLE)), findings=findings)


def _checked(
    config: PushgatewayConfig, section: Section, *, from_environment: bool, findings: Findings
) -> PushgatewayConfig:
    """Return the config with user name and password taken out of its URL, so that nothing shows them later."""
    value = None if from_environment else section.value("url")
    path, place = ((VARIABLE,), NOWHERE) if value is None else (section.at("url"), value.place)
    parts = _split(config.url)
    if isinstance(parts, str):
        if not findings.touch(path):
            findings.error(parts, path, place, value.source if value else None)
        return config
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    if parts.username is None:
        return replace(config, url=url)
    if config.username or config.password:
        message = "holds a user name, and username and password are set: keep one of them"
        findings.error(message, path, place)
    origin = VARIABLE if value is None else render(path)
    return replace(
        config,
        url=url,
        username=Secret(value=unquote(parts.username), origin=origin),
        password=Secret(value=unquote(parts.password or ""), origin=origin),
    )


def _split(url: str) -> SplitResult | str:
    """Return the parts of a Pushgateway's URL, or what is wrong with it; the URL may hold a password."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "is not a URL: write it as http://pushgateway:9091"
    if not is_url:
        return "is not a URL: write it as http://pushgateway:9091"
    if parts.query or parts.fragment:
        return "has a query or a fragment, and a Pushgateway's URL has none"
    return parts
