"""Keys that are accepted and do nothing yet. The program says so once, so that nobody relies on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.config.node import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocync.config.section import Section

_GLOBAL = ("staging_size_limit",)
# head_first is not among them: targets are always asked before a manifest is fetched.


def unused_keys(root: Section) -> tuple[str, ...]:
    """Return the paths of keys that the file sets and that have no effect."""
    return tuple(dict.fromkeys(_unused(root)))


def _unused(root: Section) -> Iterator[str]:
    settings = root.section("global")
    yield from (render(settings.at(key)) for key in _GLOBAL if settings.has(key))
