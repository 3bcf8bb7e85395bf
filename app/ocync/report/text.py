"""
The report for a person: what was copied, what failed and what to do about it.

Lists are cut to what can be read in ten seconds. Control characters in names and messages are escaped.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.lib.errors import ErrorKind
from ocync.lib.redaction import printable
from ocync.lib.remedies import cause_of
from ocync.plan.model import Reason
from ocync.report.humanize import counted, rate, short, size, span
from ocync.transfer.result import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import TextIO

    from ocync.report.summary import RunReport
    from ocync.transfer.result import ImageResult

_MESSAGE = 500
"""The most characters of a message."""
_COLUMN = 72
"""The most characters of a name that takes part in the alignment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is listed: images copied, errors of one kind, images of one error."""

    moved: int = 20
    errors: int = 5
    names: int = 3


def wants_color(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether to use colours on the stream (no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def render(report: RunReport, *, color: bool = False, limits: Limits | None = None) -> str:
    """Return the report as text with a final line end; with `color`, it has ANSI escapes."""
    return "\n".join(_lines(report, _Paint(color), limits or Limits())) + "\n"


def render_failures(report: RunReport, *, color: bool = False) -> str:
    """Return only the failures of the report; empty if there are none."""
    return "".join(f"{line}\n" for line in _failures(report.failures, _Paint(color), Limits()))


_GOOD, _WARNING, _BAD, _TITLE = "32;1", "33;1", "31;1", "1"


class _Paint:
    """Adds colours to text, or not."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on else text


def _lines(report: RunReport, paint: _Paint, limits: Limits) -> Iterator[str]:
    if report.interrupted:
        left = f"{_interrupted(report):,} of {counted(len(report.images), 'image')} not done"
        yield paint(_WARNING, f"Interrupted ({printable(report.interrupted)}): {left}")
    if report.failure is not None:
        yield paint(_BAD, f"No image was looked at: {_one_line(report.failure.message)}")
        yield f"  to do: {_one_line(report.failure.hint or cause_of(report.failure.kind).remedy)}"
        return
    yield _verdict(report, paint)
    moved = [image for image in report.images if image.status is Status.SYNCED]
    if moved:
        yield ""
        yield paint(_TITLE, "Would copy" if report.dry_run else "Copied")
        yield from _moved(moved, limits.moved, dry_run=report.dry_run)
    if report.failures:
        yield ""
        yield from _failures(report.failures, paint, limits)
    yield ""
    yield from _totals(report)


def _verdict(report: RunReport, paint: _Paint) -> str:
    if not report.images:
        mappings = counted(report.mappings, "mapping")
        return paint(_WARNING, f"Nothing to do: {mappings} selected no image; check the tag rules")
    synced, failed = report.count(Status.SYNCED), report.count(Status.FAILED) - _interrupted(report)
    images = counted(len(report.images), "image")
    if report.dry_run:
        text = f"Dry run, nothing was written: would copy {synced:,} of {images}; {_unchanged(report)}"
        return paint(_WARNING, f"{text}, {failed:,} failed") if failed else paint(_GOOD, text)
    done = f"{synced:,} copied, {_unchanged(report)}"
    if failed:
        text = f"{failed:,} of {images} failed; {done}"
        return paint(_BAD, text) if failed == len(report.images) else paint(_WARNING, text)
    return f"None failed; {done}" if report.failures else paint(_GOOD, f"Up to date: {images}; {done}")


def _interrupted(report: RunReport) -> int:
    return sum(_kind(image) is ErrorKind.INTERRUPTED for image in report.failures)


def _unchanged(report: RunReport) -> str:
    immutable = sum(image.reason is Reason.IMMUTABLE_TAG for image in report.images)
    aside = f" ({immutable:,} by immutable_tags)" if immutable else ""
    return f"{report.count(Status.SKIPPED):,} unchanged{aside}"


def _moved(images: Sequence[ImageResult], limit: int, *, dry_run: bool) -> Iterator[str]:
    ordered = sorted(images, key=lambda image: image.target)[:limit]
    names = [printable(image.target) for image in ordered]
    width = max((len(name) for name in names if len(name) <= _COLUMN), default=0)
    for name, image in zip(names, ordered, strict=True):
        before = short(image.previous_digest) if image.previous_digest else "new"
        after = short(image.digest) if image.digest else "unknown"
        # The digest is unchanged if only artifacts, or parts that were lost, were copied.
        moved = f"{before:>19} -> {after:<19}" if before != after else f"{after:>19}    {'unchanged':<19}"
        line = f"  {name:<{width}}  {moved}"
        if not dry_run:
            line += f"  {size(image.bytes_transferred):>9}"
        if image.artifacts is not None and image.artifacts.transferred:
            line += f"  with {counted(image.artifacts.transferred, 'artifact')}"
        yield line.rstrip()
    if len(images) > limit:
        yield f"  {_more(len(images) - limit)}"


def _failures(failures: Sequence[ImageResult], paint: _Paint, limits: Limits) -> Iterator[str]:
    kinds = Counter(_kind(image) for image in failures)
    # The most frequent kind comes first; interruptions need no attention and come last.
    for kind, count in sorted(kinds.items(), key=lambda item: (item[0] is ErrorKind.INTERRUPTED, -item[1])):
        cause = cause_of(kind)
        what = "Not done" if kind is ErrorKind.INTERRUPTED else f"Failed, {kind}"
        yield paint(_TITLE, f"{what}: {counted(count, 'image')}, {cause.meaning}")
        yield f"  to do: {cause.remedy}"
        images = [image for image in failures if _kind(image) is kind]
        yield from _errors(images, cause.remedy, limits)


def _errors(images: Sequence[ImageResult], remedy: str, limits: Limits) -> Iterator[str]:
    """Yield each error of one kind once, with its images, and with its hint unless it repeats one above."""
    by_error: dict[tuple[str, str | None], list[ImageResult]] = defaultdict(list)
    for image in images:
        error = image.error
        by_error[(error.message, error.hint) if error else ("no reason was given", None)].append(image)
    shown = {remedy, None}
    by_size = sorted(by_error.items(), key=lambda item: -len(item[1]))
    for (message, hint), affected in by_size[: limits.errors]:
        names = sorted(printable(image.target) for image in affected)
        rest = len(names) - limits.names
        yield f"  {', '.join(names[: limits.names])}{f' and {rest:,} more' if rest > 0 else ''}"
        yield f"    {_one_line(message)}"
        if hint not in shown:
            yield f"    to do: {_one_line(hint or '')}"
            shown.add(hint)
    left = sum(len(affected) for _, affected in by_size[limits.errors :])
    if left:
        yield f"  {_more(left)}"


def _totals(report: RunReport) -> Iterator[str]:
    took = span(report.duration)
    if report.dry_run:
        yield f"Looked at both sides in {took}"
    else:
        blobs, sent = report.blobs, report.bytes_transferred
        speed = f", {rate(sent, report.duration)}" if sent else ""
        yield (
            f"{size(sent)} sent in {took}{speed}: {counted(blobs.transferred, 'blob')} sent, "
            f"{blobs.mounted:,} mounted, {blobs.skipped:,} already there"
        )
    if report.repaired:
        repaired = "to be repaired: the target has lost" if report.dry_run else "repaired: the target had lost"
        yield f"{report.repaired:,} {repaired} parts of {'it' if report.repaired == 1 else 'them'}"
    if any(image.artifacts is not None for image in report.images):
        artifacts = report.artifacts
        moved = "would be copied" if report.dry_run else "copied"
        line = f"Artifacts: {artifacts.source:,} at sources, {artifacts.target:,} at targets"
        line += f", {artifacts.transferred:,} {moved}"
        if artifacts.gone:
            line += f", {artifacts.gone:,} listed at sources but gone there"
        if artifacts.unmatched:
            line += f", {artifacts.unmatched:,} left out because platforms reduced their index"
        yield line
    if report.unverified:
        copied = "would be copied" if report.dry_run else "copied"
        yield f"Not signed as verify requires: {counted(report.unverified, 'image')}, {copied} anyway"
    by_host = {host: sum(classes.values()) for host, classes in report.requests.items()}
    if by_host:
        hosts = ", ".join(f"{printable(host)} {count:,}" for host, count in sorted(by_host.items()))
        retries = counted(report.retries, "retry", "retries")
        yield f"{counted(sum(by_host.values()), 'request')} ({hosts}), {retries}"


def _kind(failure: ImageResult) -> ErrorKind:
    return failure.error.kind if failure.error is not None else ErrorKind.INTERNAL


def _one_line(message: str) -> str:
    line = printable(message)
    return line if len(line) <= _MESSAGE else line[: _MESSAGE - 3] + "..."


def _more(count: int) -> str:
    return f"and {count:,} more; --json lists all"
