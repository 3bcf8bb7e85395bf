"""Manifests: reading, writing, deleting (distribution-spec 1.1, "Pulling manifests", "Pushing manifests")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripted import media
from scripted.behaviour import Checks
from scripted.content import Bytes, digest_of
from scripted.names import check_digest, is_tag
from scripted.problem import RefusedError
from scripted.storage import Repository, StoredManifest
from scripted.wire import Headers, Response, respond

if TYPE_CHECKING:
    from scripted.exchange import Exchange


async def handle(exchange: Exchange) -> Response:
    """Answer a request to /v2/NAME/manifests/REFERENCE."""
    method = exchange.request.method
    if ":" in exchange.rest:
        check_digest(exchange.rest)
    elif not is_tag(exchange.rest):
        if method in ("GET", "HEAD"):
            raise RefusedError(404, "MANIFEST_UNKNOWN", "not a tag")
        raise RefusedError(400, "TAG_INVALID", f"{exchange.rest!r} is not a tag")
    if method in ("GET", "HEAD"):
        return _read(exchange)
    if method == "PUT":
        return await _write(exchange)
    if method == "DELETE":
        return _delete(exchange)
    raise RefusedError(405, "UNSUPPORTED")


def _read(exchange: Exchange) -> Response:
    repository = exchange.repository
    if repository is None:
        raise RefusedError(404, "NAME_UNKNOWN", f"no repository {exchange.name}")
    manifest = repository.find(exchange.rest)
    if manifest is None:
        raise RefusedError(404, "MANIFEST_UNKNOWN", f"no manifest {exchange.rest} in {exchange.name}")
    if exchange.behaviour.strict_accept and not _accepted(exchange, manifest.media_type):
        raise RefusedError(404, "MANIFEST_UNKNOWN", f"Accept does not name {manifest.media_type}")
    headers = Headers(
        [
            ("Content-Type", manifest.media_type),
            ("Docker-Content-Digest", manifest.digest),
            ("Etag", f'"{manifest.digest}"'),
        ]
    )
    if exchange.request.headers.get("if-none-match") in (f'"{manifest.digest}"', manifest.digest):
        return Response(304, headers)
    return Response(200, headers, Bytes(manifest.raw))


def _accepted(exchange: Exchange, media_type: str) -> bool:
    ranges = [
        part.partition(";")[0].strip()
        for line in exchange.request.headers.all("accept")
        for part in line.split(",")
        if part.strip()
    ]
    return not ranges or any(accepted in (media_type, "*/*", "application/*") for accepted in ranges)


async def _write(exchange: Exchange) -> Response:
    behaviour, request = exchange.behaviour, exchange.request
    repository = exchange.repository
    if repository is None and not behaviour.create_repositories:
        raise RefusedError(404, "NAME_UNKNOWN", f"no repository {exchange.name}")
    raw = await request.body.read(behaviour.manifest_limit)
    if raw is None:
        raise RefusedError(413, "SIZE_INVALID", f"a manifest has {behaviour.manifest_limit} bytes at most")
    algorithm = exchange.rest.partition(":")[0] if ":" in exchange.rest else "sha256"
    content_type = request.headers.get("content-type") or ""
    if content_type not in behaviour.manifest_types:
        raise RefusedError(415, "MANIFEST_INVALID", f"Content-Type {content_type!r}")
    manifest = StoredManifest(raw, content_type, digest_of(raw, algorithm))
    if ":" in exchange.rest and manifest.digest != exchange.rest:
        raise RefusedError(400, "DIGEST_INVALID", f"the manifest is {manifest.digest}")
    _check_form(manifest)
    repository = repository or Repository(exchange.name)
    exchange.state.evidence.judge(request, repository, exchange.rest, manifest)
    _check_references(repository, manifest, Checks(behaviour.check_references))
    tags = [exchange.rest] if ":" not in exchange.rest else _tags_of_query(exchange)
    for tag in tags:
        _check_immutable(exchange, repository, tag, manifest.digest)
    exchange.state.repositories[exchange.name] = repository
    repository.manifests[manifest.digest] = manifest
    for tag in tags:
        _tag(exchange, repository, tag, manifest.digest)
    return _written(exchange, manifest, tags)


def _written(exchange: Exchange, manifest: StoredManifest, tags: list[str]) -> Response:
    location = f"/v2/{exchange.name}/manifests/{manifest.digest}"
    headers = [("Location", location), ("Docker-Content-Digest", manifest.digest)]
    if manifest.subject and exchange.behaviour.referrers:
        headers.append(("OCI-Subject", manifest.subject))
    if ":" in exchange.rest:
        headers += [("OCI-Tag", tag) for tag in tags]
    return respond(201, headers=headers)


def _tags_of_query(exchange: Exchange) -> list[str]:
    tags = [value for key, value in exchange.request.query if key == "tag"] if exchange.behaviour.tag_query else []
    for tag in tags:
        if not is_tag(tag):
            raise RefusedError(400, "TAG_INVALID", f"{tag!r} is not a tag")
    return tags


def _check_form(manifest: StoredManifest) -> None:
    try:
        body = json.loads(manifest.raw)
    except ValueError as error:
        raise RefusedError(400, "MANIFEST_INVALID", "not JSON") from error
    if manifest.media_type == media.OCI_ARTIFACT:
        version = 2
    else:
        version = body.get("schemaVersion") if isinstance(body, dict) else None
    if version != 2:
        raise RefusedError(400, "MANIFEST_INVALID", "schemaVersion is not 2")
    if body.get("mediaType", manifest.media_type) != manifest.media_type:
        raise RefusedError(400, "MANIFEST_INVALID", "Content-Type is not the document's mediaType")
    for entry in [*manifest.blobs, *manifest.children]:
        check_digest(entry.get("digest"))


def _check_references(repository: Repository, manifest: StoredManifest, checks: Checks) -> None:
    blobs = manifest.config if checks.covers(Checks.CONFIG) else []
    blobs += manifest.layers if checks.covers(Checks.LAYERS) else []
    missing = repository.missing_blobs(blobs)
    if checks.covers(Checks.CHILDREN):
        missing += repository.missing_children(manifest)
    if missing:
        raise RefusedError(404, "MANIFEST_BLOB_UNKNOWN", f"no {missing[0]} in {repository.name}", detail=missing)
    for entry in blobs:
        if entry.get("size") != repository.blobs[entry["digest"]].size:
            raise RefusedError(400, "MANIFEST_INVALID", f"the size of {entry['digest']} is wrong")


def _check_immutable(exchange: Exchange, repository: Repository, tag: str, digest: str) -> None:
    rule = exchange.behaviour.immutable
    old = repository.tags.get(tag)
    if rule is None or old is None or not rule.covers(tag):
        return
    if old != digest or rule.same_digest_too:
        raise RefusedError(rule.status, rule.code, rule.message.format(tag=tag))


def _tag(exchange: Exchange, repository: Repository, tag: str, digest: str) -> None:
    repository.tags[tag] = digest
    missing = repository.missing_below(digest)
    if missing:
        exchange.state.violations.append(f"{repository.name}:{tag} was put with {', '.join(missing)} missing")


def _delete(exchange: Exchange) -> Response:
    repository = exchange.repository
    if not exchange.behaviour.delete:
        raise RefusedError(405, "UNSUPPORTED", "deleting is off")
    if repository is None:
        raise RefusedError(404, "NAME_UNKNOWN", f"no repository {exchange.name}")
    if repository.find(exchange.rest) is None:
        raise RefusedError(404, "MANIFEST_UNKNOWN", f"no manifest {exchange.rest} in {exchange.name}")
    if ":" in exchange.rest:
        del repository.manifests[exchange.rest]
        repository.tags = {tag: digest for tag, digest in repository.tags.items() if digest != exchange.rest}
    else:
        del repository.tags[exchange.rest]
    return respond(202)
