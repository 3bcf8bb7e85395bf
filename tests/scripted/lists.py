"""Lists in pages: tags, referrers, repositories (distribution-spec 1.1, "Listing Tags", "Listing Referrers")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from scripted import media
from scripted.names import check_digest
from scripted.problem import RefusedError
from scripted.wire import Response, respond

if TYPE_CHECKING:
    from scripted.behaviour import Behaviour
    from scripted.exchange import Exchange
    from scripted.storage import StoredManifest
    from scripted.wire import Request


async def tags(exchange: Exchange) -> Response:
    """Answer a request to /v2/NAME/tags/list."""
    _only_reading(exchange.request)
    if exchange.repository is None:
        raise RefusedError(404, "NAME_UNKNOWN", f"no repository {exchange.name}")
    seen = sorted(tag for tag in exchange.repository.tags if exchange.grant.sees(tag))
    page, links = paged(exchange.request, seen, exchange.behaviour, exchange.state.other)
    body = {"name": exchange.name, "tags": page}
    return respond(200, json.dumps(body).encode(), [("Content-Type", "application/json"), *links])


async def referrers(exchange: Exchange) -> Response:
    """Answer a request to /v2/NAME/referrers/DIGEST."""
    _only_reading(exchange.request)
    if not exchange.behaviour.referrers:
        return respond(404, b"404 page not found\n", [("Content-Type", "text/plain; charset=utf-8")])
    digest = check_digest(exchange.rest)
    found = exchange.repository.referrers_of(digest) if exchange.repository else []
    headers = [("Content-Type", media.OCI_INDEX)]
    wanted = exchange.request.parameter("artifactType")
    if wanted and exchange.behaviour.referrers_filter:
        found = [manifest for manifest in found if manifest.artifact_type == wanted]
        headers.append(("OCI-Filters-Applied", "artifactType"))
    by_digest = {manifest.digest: manifest for manifest in found}
    page, links = paged(exchange.request, sorted(by_digest), exchange.behaviour, exchange.state.other)
    body = {
        "schemaVersion": 2,
        "mediaType": media.OCI_INDEX,
        "manifests": [_descriptor(by_digest[digest]) for digest in page],
    }
    return respond(200, json.dumps(body).encode(), [*headers, *links])


def paged(
    request: Request, entries: list[str], behaviour: Behaviour, other: str
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the page that `n` and `last` ask for, and the headers that lead to the next one."""
    text = request.parameter("n")
    if text is not None and not text.isdigit():
        raise RefusedError(400, "PAGINATION_NUMBER_INVALID", f"n={text!r}")
    size = len(entries) if text is None else int(text)
    if text is not None and behaviour.page_limit is not None and size > behaviour.page_limit:
        raise RefusedError(400, "PAGINATION_NUMBER_INVALID", f"n is {behaviour.page_limit} at most")
    if behaviour.page_size is not None:
        size = min(size, behaviour.page_size)
    last = request.parameter("last")
    rest = [entry for entry in entries if last is None or entry > last]
    page = rest[:size]
    if size == 0 or len(rest) <= size or behaviour.link == "none":
        return page, []
    kept = [(key, value) for key, value in request.query if key not in ("n", "last")]
    query = urlencode([*kept, ("n", str(size)), ("last", page[-1])])
    return page, [("Link", value) for value in _links(behaviour.link, request, query, other)]


def _links(form: str, request: Request, query: str, other: str) -> list[str]:
    path = quote(request.path)
    name = path.rpartition("/")[2]
    noise = f'<{path}?first=1>; rel="first", <https://example.com/a,b;c>; title="x, y; z"; rel="help"'
    forms = {
        "path": [f'<{path}?{query}>; rel="next"'],
        "absolute": [f'<{request.base}{path}?{query}>; rel="next"'],
        "relative": [f'<{name}?{query}>; rel="next"'],
        "unquoted": [f"<{path}?{query}>; rel=next"],
        "several": [f'{noise}, <{path}?{query}>; rel="next"'],
        "headers": [noise, f'<{path}?{query}>; rel="next"'],
        "parameters": [f'<{path}?{query}&x=a,b;c>; title="a \\"b\\", <c>"; REL="prefetch next"; type=x'],
        "other-host": [f'<{other}{path}?{query}>; rel="next"'],
    }
    return forms[form]


def _descriptor(manifest: StoredManifest) -> dict[str, Any]:
    descriptor: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.raw),
    }
    if manifest.artifact_type:
        descriptor["artifactType"] = manifest.artifact_type
    if manifest.body.get("annotations"):
        descriptor["annotations"] = manifest.body["annotations"]
    return descriptor


def _only_reading(request: Request) -> None:
    if request.method not in ("GET", "HEAD"):
        raise RefusedError(405, "UNSUPPORTED")
