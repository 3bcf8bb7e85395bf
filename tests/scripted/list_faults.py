"""What can be wrong with a tag list; see scripted.faults."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from scripted.content import Bytes
from scripted.named import Named

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted.named import Proceed
    from scripted.rules import Action
    from scripted.wire import Request, Response


def edit_json(change: Callable[[Any], Any]) -> Action:
    """Change the JSON document of an answer; what another rule has made of it, and is none, is left alone."""

    async def action(request: Request, proceed: Proceed) -> Response:
        response = await proceed()
        if response.status == 200:
            try:
                body = json.loads(response.whole())
            except ValueError:
                return response
            response.body = Bytes(json.dumps(change(body)).encode())
        return response

    return Named("edit JSON", action)


def tags_null() -> Action:
    """Answer a tag list whose `tags` is null."""
    return edit_json(lambda body: {**body, "tags": None})


def tags_missing() -> Action:
    """Answer a tag list without `tags`."""
    return edit_json(lambda body: {key: value for key, value in body.items() if key != "tags"})


def tags_with(*entries: object) -> Action:
    """Add entries to a tag list: null, "", a digest, as Nexus and Artifactory do."""
    return edit_json(lambda body: {**body, "tags": [*entries, *(body.get("tags") or [])]})


def endless_tags(kind: str = "same") -> Action:
    """
    Page for ever: `same` (one next URL again and again), `fresh` (another URL each time, nothing new in it), `grow`
    (a tag that never was before on every page).
    """
    if kind not in ("same", "fresh", "grow"):
        raise ValueError(kind)
    pages = 0

    async def action(request: Request, proceed: Proceed) -> Response:
        nonlocal pages
        pages += 1
        response = await proceed()
        try:
            body = json.loads(response.whole())
        except ValueError:
            return response
        if kind == "grow":
            body["tags"] = [f"page-{pages}"]
        mark = "again" if kind == "same" else f"page-{pages}"
        response.body = Bytes(json.dumps(body).encode())
        response.headers.set("Link", f'<{quote(request.path)}?n=10&last={mark}>; rel="next"')
        return response

    return Named(f"endless tags ({kind})", action)
