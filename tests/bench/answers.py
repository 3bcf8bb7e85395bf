"""
What a registry of the benchmark answers (distribution-spec 1.1).

Blobs never pass through here: nginx sends them from files and writes uploads to files, and only names are said. The
digest of an upload is not computed here either, so that the server costs little; `check.py` does that afterwards.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from bench.holdings import Manifest, Repository, copy_of
from bench.tokens import Tokens, challenge
from scripted import media

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.holdings import Repositories

_ROUTE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.*)")
_PAGE = 1000
_JSON = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What nginx passes on."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By lower-case names."""
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status, fields and a body; `length` is said where there is no body, as for HEAD."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    length: int | None = None


@dataclass(slots=True)
class Upload:
    """An upload that goes on."""

    repository: str
    file: Path | None = None
    size: int = 0


def problem(status: int, code: str) -> Answer:
    """Return an error as the specification words it."""
    body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
    return Answer(status=status, headers=_JSON, body=body)


def _refused(value: str) -> Answer:
    answer = problem(401, "UNAUTHORIZED")
    return replace(answer, headers=(*answer.headers, ("WWW-Authenticate", value)))


@dataclass(slots=True)
class Registry:
    """A registry whose blobs are the files of a folder, named by the hex of their digests."""

    folder: Path
    referrers: bool = True
    """Whether it has the referrers API."""
    repositories: Repositories = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    tokens: Tokens | None = None
    """What gives out the tokens that are demanded, if any are."""
    verified: set[str] = field(default_factory=set)
    """Names of the files whose digests have been found right."""
    _started: int = 0

    @property
    def blobs(self) -> Path:
        """Where the blobs are."""
        return self.folder / "blobs"

    @property
    def incoming(self) -> Path:
        """Where nginx writes what is being uploaded."""
        return self.folder / "incoming"

    def file(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self.blobs / digest.partition(":")[2]

    def empty(self) -> None:
        """Forget and delete everything."""
        self.repositories, self.uploads = {}, {}
        self.verified.clear()
        for folder in (self.blobs, self.incoming):
            folder.mkdir(parents=True, exist_ok=True)
            for file in folder.iterdir():
                file.unlink()

    def fill(self, repositories: Repositories, origin: Registry) -> None:
        """Hold these repositories, with the blobs of another registry."""
        self.repositories = copy_of(repositories)
        for digest in {digest for repository in repositories.values() for digest in repository.blobs}:
            if not self.file(digest).exists():
                self.file(digest).hardlink_to(origin.file(digest))

    def answer(self, request: Request) -> Answer:
        """Answer a request."""
        url = urlsplit(request.target)
        route = _ROUTE.fullmatch(url.path)
        if self.tokens is not None:
            if url.path == "/token":
                return Answer(status=200, headers=_JSON, body=self.tokens.issue(url.query))
            if not self.tokens.allow(request.headers.get("authorization", ""), route["name"] if route else ""):
                return _refused(challenge(request.headers["x-host"], route["name"] if route else ""))
        if url.path in ("/v2", "/v2/"):
            return Answer(status=200, headers=_JSON, body=b"{}")
        if route is None:
            return problem(404, "UNSUPPORTED")
        name, rest = route["name"], route["rest"]
        asked = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        match route["kind"]:
            case "tags":
                return self._tags(name, asked)
            case "referrers":
                return self._referrers(name, rest, asked)
            case "manifests":
                return self._put(name, rest, request) if request.method == "PUT" else self._get(name, rest, request)
            case _ if rest.startswith("uploads"):
                return self._upload(request, name, rest.removeprefix("uploads").strip("/"), asked)
            case _:
                return self._blob(name, rest, request)

    def _tags(self, name: str, asked: Mapping[str, str]) -> Answer:
        repository = self.repositories.get(name)
        if repository is None:
            return problem(404, "NAME_UNKNOWN")
        tags = sorted(tag for tag in repository.tags if tag > asked.get("last", ""))
        number = asked.get("n", "")
        page = tags[: min(int(number), _PAGE) if number.isdigit() else _PAGE]
        headers = [*_JSON]
        if len(page) < len(tags) and page:
            after = f"/v2/{name}/tags/list?n={len(page)}&last={quote(page[-1])}"
            headers.append(("Link", f'<{after}>; rel="next"'))
        return Answer(status=200, headers=tuple(headers), body=json.dumps({"name": name, "tags": page}).encode())

    def _referrers(self, name: str, digest: str, asked: Mapping[str, str]) -> Answer:
        if not self.referrers:
            return problem(404, "UNSUPPORTED")
        repository = self.repositories.get(name, Repository())
        wanted = asked.get("artifactType")
        found = [listed.listing for listed in repository.referrers.get(digest, {}).values()]
        found = [entry for entry in found if wanted in (None, entry.get("artifactType"))]
        headers = [("Content-Type", media.OCI_INDEX)] + (
            [("OCI-Filters-Applied", "artifactType")] if wanted else []
        )
        body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": found}
        return Answer(status=200, headers=tuple(headers), body=json.dumps(body).encode())

    def _get(self, name: str, reference: str, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return problem(405, "UNSUPPORTED")
        manifest = self.repositories.get(name, Repository()).find(reference)
        if manifest is None:
            return problem(404, "MANIFEST_UNKNOWN")
        headers = (
            ("Content-Type", manifest.media_type),
            ("Docker-Content-Digest", manifest.digest),
            ("ETag", f'"{manifest.digest}"'),
        )
        if request.method == "HEAD":
            return Answer(status=200, headers=headers, length=len(manifest.raw))
        return Answer(status=200, headers=headers, body=manifest.raw)

    def _put(self, name: str, reference: str, request: Request) -> Answer:
        try:
            manifest = Manifest.parse(request.body, request.headers.get("content-type", ""))
        except (ValueError, KeyError):
            return problem(400, "MANIFEST_INVALID")
        tag = None if ":" in reference else reference
        if tag is None and reference != manifest.digest:
            return problem(400, "DIGEST_INVALID")
        repository = self.repositories.setdefault(name, Repository())
        if repository.missing(manifest):
            return problem(400, "MANIFEST_BLOB_UNKNOWN")
        repository.add(manifest, tag)
        headers = [
            ("Location", f"/v2/{name}/manifests/{manifest.digest}"),
            ("Docker-Content-Digest", manifest.digest),
        ]
        if manifest.subject and self.referrers:
            headers.append(("OCI-Subject", manifest.subject))
        return Answer(status=201, headers=tuple(headers))

    def _blob(self, name: str, digest: str, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return problem(405, "UNSUPPORTED")
        if digest not in self.repositories.get(name, Repository()).blobs:
            return problem(404, "BLOB_UNKNOWN")
        headers = [("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", digest)]
        if request.method == "HEAD":
            return Answer(status=200, headers=tuple(headers), length=self.file(digest).stat().st_size)
        # https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ignore_headers: nginx sends this file.
        headers.append(("X-Accel-Redirect", f"/files/{digest.partition(':')[2]}"))
        return Answer(status=200, headers=tuple(headers))

    def _upload(self, request: Request, name: str, session: str, asked: Mapping[str, str]) -> Answer:
        brought = Path(request.headers["x-body-file"]) if request.headers.get("x-body-file") else None
        if request.method == "POST" and not session:
            if self._mounted(name, asked):
                _drop(brought)
                return _created(name, asked["mount"])
            self._started += 1
            session = f"{self._started:08d}"
            self.uploads[session] = Upload(name)
        upload = self.uploads.get(session)
        if upload is None or upload.repository != name:
            _drop(brought)
            return problem(404, "BLOB_UPLOAD_UNKNOWN")
        _take(upload, brought)
        if request.method == "DELETE":
            _drop(self.uploads.pop(session).file)
            return Answer(status=204)
        if request.method in ("PUT", "POST") and "digest" in asked:
            return self._commit(session, asked["digest"])
        status = {"POST": 202, "PATCH": 202, "GET": 204}.get(request.method)
        if status is None:
            return problem(405, "UNSUPPORTED")
        location = ("Location", f"/v2/{name}/blobs/uploads/{session}")
        return Answer(status=status, headers=(location, ("Range", f"0-{max(0, upload.size - 1)}")))

    def _mounted(self, name: str, asked: Mapping[str, str]) -> bool:
        origin = self.repositories.get(asked.get("from", ""))
        if origin is None or asked.get("mount") not in origin.blobs:
            return False
        self.repositories.setdefault(name, Repository()).blobs.add(asked["mount"])
        return True

    def _commit(self, session: str, digest: str) -> Answer:
        upload = self.uploads.pop(session)
        if upload.file is None:
            self.file(digest).touch()
        else:
            upload.file.rename(self.file(digest))
        self.repositories.setdefault(upload.repository, Repository()).blobs.add(digest)
        return _created(upload.repository, digest)


def _created(name: str, digest: str) -> Answer:
    headers = (("Location", f"/v2/{name}/blobs/{digest}"), ("Docker-Content-Digest", digest))
    return Answer(status=201, headers=headers)


def _take(upload: Upload, brought: Path | None) -> None:
    """Add what a request brought to an upload: the first piece as it is, later ones at its end."""
    size = brought.stat().st_size if brought is not None else 0
    if brought is None or not size:
        _drop(brought)
    elif upload.file is None:
        upload.file, upload.size = brought, size
    else:
        with upload.file.open("ab") as whole, brought.open("rb") as piece:
            while data := piece.read(1 << 20):
                whole.write(data)
        brought.unlink()
        upload.size += size


def _drop(file: Path | None) -> None:
    if file is not None:
        file.unlink(missing_ok=True)
