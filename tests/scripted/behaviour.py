"""How a registry differs from the next one, where both are right, or nearly so."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from scripted import media

LOCATIONS = ("absolute", "path", "relative", "no-scheme", "other-host")
LINKS = ("path", "absolute", "relative", "unquoted", "several", "headers", "parameters", "other-host", "none")


class Checks(StrEnum):
    """What a registry looks for before it takes a manifest: registries differ, and some can be set so or so."""

    NOTHING = "nothing"
    CONFIG = "config"
    LAYERS = "layers"
    CHILDREN = "children"
    ALL = "all"

    @classmethod
    def _missing_(cls, value: object) -> Checks | None:
        return {True: cls.ALL, False: cls.NOTHING}.get(value) if isinstance(value, bool) else None

    def covers(self, kind: Checks) -> bool:
        """Tell whether parts of a kind (CONFIG, LAYERS, CHILDREN) are looked for."""
        return self in (Checks.ALL, kind)


@dataclass(slots=True, kw_only=True)
class Immutable:
    """Tags that can't be moved, and what is answered to those who try."""

    pattern: str = ".*"
    status: int = 400
    code: str = "TAG_INVALID"
    message: str = "the tag {tag} cannot be overwritten because the tag is immutable"
    same_digest_too: bool = False
    """Refuse also to write the same digest again."""

    def covers(self, tag: str) -> bool:
        """Tell whether the tag is one of these."""
        return re.fullmatch(self.pattern, tag) is not None


@dataclass(slots=True, kw_only=True)
class Behaviour:
    """Options of a registry, by default as the specification wants it. They can be changed while it runs."""

    # Uploads
    location: str = "absolute"
    """Form of an upload's Location: one of LOCATIONS. `other-host` is another port, where no credentials go."""
    location_outside: bool = False
    """Put upload sessions under a long path outside of /v2/."""
    location_query: str = "state"
    """`none`; `state` (a signed `_state`, wherever it stands); `exact` (a query that must come back as it was)."""
    location_latest_only: bool = False
    """Refuse Locations from before the last bytes came with 416, as distribution does by its `_state`."""
    mount: bool = True
    """Whether mounts with `from` are fulfilled; if not, a session is opened instead (202)."""
    anonymous_mount: bool = False
    """Whether mounts without `from` are fulfilled."""
    mount_without_from_status: int = 202
    """For mounts without `from` that are not fulfilled: 202, or an error (Quay, zot)."""
    single_post: bool = True
    """Whether POST ?digest= stores the blob; if not, a session is opened and the bytes are lost (202)."""
    chunk_minimum: int | None = None
    """OCI-Chunk-Min-Length; shorter PATCHes with Content-Range are refused."""
    content_range_limit: int | None = None
    """Refuse bodies longer than this that have a Content-Range, with 416, as GHCR."""
    body_limit: int | None = None
    """Refuse any upload body longer than this with 413."""
    chunked_encoding: bool = True
    """Whether bodies without a Content-Length are taken; if not, 411."""
    cancel_status: int = 204
    stuck_range: bool = False
    """Keep the Range answers of a session at its first chunk, as ECR."""
    create_repositories: bool = True
    """Whether a push creates the repository; if not, 404 NAME_UNKNOWN."""
    discard_over: int | None = None
    """Hash uploaded blobs that are longer than this, and keep only their size."""
    spool_over: int = 8 * 1024 * 1024
    """Keep longer uploads in files, where the registry has a folder."""

    # Manifests
    check_references: Checks | bool = Checks.ALL
    """What of a manifest has to be there when it is put; True is all, False is nothing."""
    strict_accept: bool = True
    """Whether a manifest of a type that Accept does not name is 404."""
    manifest_limit: int = 4 * 1024 * 1024
    manifest_types: frozenset[str] = media.MANIFESTS
    """Types that can be pushed; others are 415."""
    immutable: Immutable | None = None
    delete: bool = True
    """Whether manifests, tags and blobs can be deleted; if not, 405."""
    tag_query: bool = True
    """Whether PUT by digest takes `?tag=` and answers OCI-Tag."""

    # Reading
    ranges: bool = True
    """Whether blobs can be read in part; if not, Range is ignored."""
    docker_headers: bool = True
    """Docker-Distribution-API-Version and Docker-Upload-UUID."""

    # Lists
    page_size: int | None = None
    """The most tags or referrers on one page, whatever `n` says; None: as `n` says, else all."""
    link: str = "path"
    """Form of the next page's Link: one of LINKS."""
    page_limit: int | None = None
    """Refuse a greater `n` with 400 PAGINATION_NUMBER_INVALID."""
    referrers: bool = True
    referrers_filter: bool = True
    """Whether `artifactType` filters, and the answer says so."""
    warnings: tuple[str, ...] = field(default=())
    """Texts of Warning headers on every answer."""
