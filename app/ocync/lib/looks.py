"""
Looks: requests made only to find out whether something is there. A look that is refused is no verdict.

Registries refuse a look (401, 403, 400, 405) at what they do not have, and take it when it is pushed: Artifactory
does (google/go-containerregistry#1691), and so do proxies that know only some methods or paths. Sources say that
tags are denied which do not exist (carvel-dev/imgpkg#548). So whoever looks goes on as with something missing. A
refusal counts where something is requested in earnest: a push, or what a source is known to have.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar, overload

from ocync.lib.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")
D = TypeVar("D")

log = logging.getLogger(__name__)


@overload
async def unless_refused(look: Awaitable[T]) -> T | None: ...


@overload
async def unless_refused(look: Awaitable[T], otherwise: D) -> T | D: ...


async def unless_refused(look: Awaitable[T], otherwise: object = None) -> object:
    """Return what a look gives; `otherwise` if it is refused, so that it is not known what is there."""
    try:
        return await look
    except RegistryError as error:
        if not error.is_refusal:
            raise
        log.debug("not known to be there: %s", error.message)
        return otherwise
