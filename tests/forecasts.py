"""Analyses of worlds between scripted registries, and what was really asked of these afterwards."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING

from ocync.analyze.reading import Reading
from ocync.analyze.requests import NONE, Kind
from ocync.analyze.simulate import simulate

if TYPE_CHECKING:
    from clients import Side
    from ocync.analyze.model import Analysis
    from ocync.analyze.reading import Read
    from ocync.config.model import MappingConfig
    from scripted import ScriptedRegistry
    from scripted.record import Recorded

KINDS = {
    Kind.TAG_LIST: ("GET", r"/tags/list"),
    Kind.MANIFEST_HEAD: ("HEAD", r"/manifests/"),
    Kind.MANIFEST_GET: ("GET", r"/manifests/"),
    Kind.MANIFEST_PUT: ("PUT", r"/manifests/"),
    Kind.BLOB_HEAD: ("HEAD", r"/blobs/sha"),
    Kind.BLOB_GET: ("GET", r"/blobs/sha"),
    Kind.BLOB_MOUNT: ("POST", r"/blobs/uploads/\?.*\bmount="),
    Kind.BLOB_POST: ("POST", r"/blobs/uploads/$"),
    Kind.BLOB_PUT: ("PUT", r"/blobs/uploads/"),
}


def kind_of(request: Recorded) -> Kind | None:
    """Return what a request was for; None for pings, tokens, and requests that only brought a challenge."""
    if request.status == 401 or request.path in ("/v2/", "/token"):
        return None
    found = [kind for kind, (method, pattern) in KINDS.items() if request.matches(method, pattern)]
    assert len(found) == 1, request
    return found[0]


def asked_by_kind(registry: ScriptedRegistry) -> Counter[Kind]:
    """Count what a registry was asked, by kind."""
    return Counter(kind for request in registry.requests if (kind := kind_of(request)) is not None)


async def read(side: Side, *mappings: MappingConfig, cold: bool = False, at_once: int = 10) -> Read:
    """Read both sides, which has to be done within 15 seconds."""
    reading = Reading(places=side.places, at_once=at_once, stop=side.stop, sink=lambda _event: None, cold=cold)
    async with asyncio.timeout(15):
        return await reading.run(mappings)


async def analyzed(side: Side, *mappings: MappingConfig, cold: bool = False) -> Analysis:
    """Read both sides and return the forecast."""
    found = await read(side, *mappings, cold=cold)
    assert found.is_whole
    return simulate(found.facts, cold=cold)


def misses(analysis: Analysis, registry: ScriptedRegistry) -> list[str]:
    """Return what was asked of a registry and is not within the bounds of its forecast."""
    asked, forecast = asked_by_kind(registry), analysis.requests[registry.host]
    return [
        f"{kind}: {asked[kind]} were asked, {forecast.get(kind, NONE)} forecast"
        for kind in Kind
        if asked[kind] not in forecast.get(kind, NONE)
    ]


def inexact(analysis: Analysis) -> list[str]:
    """Return the kinds of requests whose number the forecast does not claim to know."""
    return [
        f"{place} {kind}: {bounds}"
        for place, requests in analysis.requests.items()
        for kind, bounds in requests.items()
        if not bounds.is_exact
    ]


def without_own_port(text: str) -> str:
    """Return a text without the ports of the registries that it names."""
    return re.sub(r"127\.0\.0\.1:\d+", "registry", text)
