"""The analysis as text: what the next pass would transfer, what sharing saves, and its requests. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.analyze.model import RequestKind, total
from ocync.lib.redaction import printable
from ocync.plan.model import Reason
from ocync.report.humanize import counted, short, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ocync.analyze.model import Analysis, Bounds, Sharing, SourceForecast, TargetForecast
    from ocync.report.summary import RunReport

_SHARED = 5
"""Shared blobs that are listed."""
_NAMES = {
    RequestKind.TAG_LIST: ("tag list", "tag lists"),
    RequestKind.REFERRERS: ("list of referrers", "lists of referrers"),
    RequestKind.MANIFEST_HEAD: ("manifest HEAD", "manifest HEADs"),
    RequestKind.MANIFEST_GET: ("manifest GET", "manifest GETs"),
    RequestKind.BLOB_GET: ("blob GET", "blob GETs"),
    RequestKind.BLOB_HEAD: ("blob HEAD", "blob HEADs"),
    RequestKind.BLOB_MOUNT: ("mount", "mounts"),
    RequestKind.BLOB_POST: ("blob POST", "blob POSTs"),
    RequestKind.BLOB_PUT: ("blob PUT", "blob PUTs"),
    RequestKind.MANIFEST_PUT: ("manifest PUT", "manifest PUTs"),
}


def render(analysis: Analysis, report: RunReport) -> str:
    """Return the analysis as lines that end with a newline, without failures, which the report lists."""
    return "\n".join(_lines(analysis, report)) + "\n"


def _lines(analysis: Analysis, report: RunReport) -> Iterator[str]:
    if report.interrupted:
        yield f"Interrupted ({printable(report.interrupted)}): this is about what was read until then"
    yield _verdict(analysis, report)
    if analysis.sharing.images:
        yield ""
        yield from _sharing(analysis.sharing)
    for target in analysis.targets:
        yield ""
        yield from _target(target)
    if analysis.sources:
        yield ""
        yield from _sources(analysis.sources)
    if analysis.requests:
        yield ""
        yield "Requests of that pass; those for tokens, redirects, retries and audits come on top"
        yield from _requests(analysis.requests)


def _verdict(analysis: Analysis, report: RunReport) -> str:
    name = "A pass into empty targets" if analysis.cold else "The next pass"
    if not report.images:
        return f"{name} has nothing to do: {counted(report.mappings, 'mapping')} selected no image"
    copies = sum(target.images for target in analysis.targets)
    failed = len(report.failures)
    late = sum(image.reason is Reason.ARTIFACTS for image in report.images)
    unchanged = len(report.images) - copies - late - failed
    also = f", and what is attached to {late:,} more" if late else ""
    aside = f", {failed:,} could not be looked at" if failed else ""
    return (
        f"{name} copies {copies:,} of {counted(len(report.images), 'image')}{also}; {unchanged:,} unchanged{aside}"
    )


def _sharing(sharing: Sharing) -> Iterator[str]:
    everything = sharing.all
    yield (
        f"{counted(sharing.images, 'different image')} of {_repositories(sharing.repositories)}: "
        f"{counted(sharing.manifests, 'manifest')}, {counted(everything.blobs, 'blob')}, {size(everything.size)}"
    )
    images, repositories = sharing.between_images, sharing.between_repositories
    yield (
        f"  shared by images: {counted(images.blobs, 'blob')}, {size(images.size)}; by repositories: "
        f"{counted(repositories.blobs, 'blob')}, {size(repositories.size)}"
    )
    for blob in sharing.most[:_SHARED]:
        where = f"{counted(blob.images, 'image')} of {_repositories(blob.repositories)}"
        yield f"    {size(blob.size):>9}  {short(blob.digest)}  in {where}"


def _target(target: TargetForecast) -> Iterator[str]:
    empty = target.empty_repositories
    filled = target.repositories - empty
    state = "all empty" if not filled else f"{empty:,} of them empty" if empty else "none of them empty"
    if target.repositories == 1:
        state = "empty" if empty else "not empty"
    yield (
        f"To {printable(target.host)}: {counted(target.images, 'image')} {_artifacts(target.artifacts)}"
        f"into {_repositories(target.repositories)}, {state}"
    )
    within = target.size_by_image - target.size_by_repository
    yield (
        f"  sends {_blobs(target.sent)}, {_size(target.sent_size)}; "
        f"one by one the images come to {size(target.size_by_image)}"
    )
    mounts = _count(target.mounted, "mount")
    yield f"  saves {_size(target.mounted_size)} by {mounts}, {size(within)} within repositories"
    if target.there.high:
        yield f"  finds {_blobs(target.there)} there already"


def _sources(sources: tuple[SourceForecast, ...]) -> Iterator[str]:
    for source in sources:
        yield f"From {printable(source.host)}: {_blobs(source.blobs)} to read, {_size(source.size)}"


def _requests(requests: Mapping[str, Mapping[RequestKind, Bounds]]) -> Iterator[str]:
    totals = {host: _number(total(kinds.values())) for host, kinds in requests.items()}
    names = {host: printable(host) for host in requests}
    width = max(map(len, names.values()))
    digits = max(map(len, totals.values()))
    for host, kinds in requests.items():
        parts = ", ".join(f"{_number(bounds)} {_NAMES[kind][bounds.high != 1]}" for kind, bounds in kinds.items())
        yield f"  {names[host]:<{width}}  {totals[host]:>{digits}} = {parts or 'none'}"


def _repositories(number: int) -> str:
    return counted(number, "repository", "repositories")


def _artifacts(bounds: Bounds) -> str:
    return f"and {_count(bounds, 'artifact')} " if bounds.high else ""


def _blobs(bounds: Bounds) -> str:
    return _count(bounds, "blob")


def _count(bounds: Bounds, noun: str) -> str:
    return f"{_number(bounds)} {noun if bounds.high == 1 else noun + 's'}"


def _number(bounds: Bounds) -> str:
    return f"{bounds.low:,}" if bounds.is_exact else f"{bounds.low:,}-{bounds.high:,}"


def _size(bounds: Bounds) -> str:
    low, high = size(bounds.low), size(bounds.high)
    return low if low == high else f"{low} to {high}"
