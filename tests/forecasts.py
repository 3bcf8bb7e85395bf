"""Forecasts of passes between scripted registries, and what these were really asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from ocync.analyze.model import NONE, RequestKind
from ocync.analyze.rehearsal import analyze

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clients import Side
    from ocync.analyze.model import Analysis
    from ocync.analyze.rehearsal import AnalysisResult
    from ocync.config.model import MappingConfig
    from ocync.transfer.result import ImageResult
    from scripted import ScriptedRegistry
    from scripted.record import Recorded

KINDS = {
    RequestKind.TAG_LIST: ("GET", r"/tags/list"),
    RequestKind.REFERRERS: ("GET", r"/referrers/"),
    RequestKind.MANIFEST_HEAD: ("HEAD", r"/manifests/"),
    RequestKind.MANIFEST_GET: ("GET", r"/manifests/"),
    RequestKind.MANIFEST_PUT: ("PUT", r"/manifests/"),
    RequestKind.BLOB_HEAD: ("HEAD", r"/blobs/sha"),
    RequestKind.BLOB_GET: ("GET", r"/blobs/sha"),
    RequestKind.BLOB_MOUNT: ("POST", r"/blobs/uploads/\?mount="),
    RequestKind.BLOB_POST: ("POST", r"/blobs/uploads/($|\?digest=)"),
    RequestKind.BLOB_PUT: ("PUT", r"/blobs/uploads/"),
}


def kind_of(request: Recorded) -> RequestKind | None:
    """Return what a request was for; None for pings, tokens, and those that were only answered by a challenge."""
    if request.status == 401 or request.path in ("/v2/", "/token"):
        return None
    (kind,) = [kind for kind, (method, pattern) in KINDS.items() if request.matches(method, pattern)]
    return kind


def asked_by_kind(registry: ScriptedRegistry) -> Counter[RequestKind]:
    """Count what a registry was asked, by kind."""
    return Counter(kind for request in registry.requests if (kind := kind_of(request)) is not None)


async def read(
    side: Side, work: Sequence[MappingConfig], *, cold: bool = False, at_once: int = 10
) -> AnalysisResult:
    """Rehearse to the end, which has to be within 15 seconds."""
    async with asyncio.timeout(15):
        found = await analyze(
            work,
            repositories=side.repositories,
            at_once=at_once,
            stop=side.stop,
            sink=lambda _event: None,
            cold=cold,
            memory=side.memory,
        )
    assert found.is_whole
    return found


async def analyzed(side: Side, work: Sequence[MappingConfig], *, cold: bool = False, at_once: int = 10) -> Analysis:
    """Rehearse a pass in which nothing may fail, and return the forecast."""
    found = await read(side, work, cold=cold, at_once=at_once)
    assert not [result.error for result in found.results if result.error is not None]
    return found.analysis


async def passed(side: Side, work: Sequence[MappingConfig], *, at_once: int = 10) -> tuple[ImageResult, ...]:
    """Make a pass in which nothing may fail; mappings may overlap."""
    async with asyncio.timeout(15):
        results = await side.run(work, at_once=at_once)
    assert not [result.error for result in results if result.error is not None]
    return results


def misses(
    analysis: Analysis, registries: Sequence[ScriptedRegistry], results: Sequence[ImageResult] = ()
) -> list[str]:
    """Return what a pass has asked and sent that is not within the bounds of its forecast."""
    found = []
    for registry in registries:
        asked, forecast = asked_by_kind(registry), analysis.requests.get(registry.host, {})
        found += [
            f"{registry.host}: {asked[kind]} {kind}, forecast was {forecast.get(kind, NONE)}"
            for kind in RequestKind
            if asked[kind] not in forecast.get(kind, NONE)
        ]
    for target in analysis.targets:
        here = [result for result in results if result.target_host == target.host]
        sent, mounted = sum(each.bytes_transferred for each in here), sum(each.blobs.mounted for each in here)
        if here and (sent not in target.sent_size or mounted not in target.mounted):
            found.append(f"{target.host}: {sent} bytes sent and {mounted} blobs mounted, forecast was {target}")
    return found


def unsure(analysis: Analysis) -> set[RequestKind]:
    """Return the kinds of requests whose number the forecast does not claim to know."""
    return {kind for kinds in analysis.requests.values() for kind, bounds in kinds.items() if not bounds.is_exact}
