"""
From a registry's answer to an error of ours.

The status decides first, the registry's error code second, and its message only where registries say the same
thing in no other way (each such text has its source beside it).
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from ocync.lib import remedies
from ocync.lib.errors import (
    AuthError,
    ImmutableTagError,
    NetworkError,
    NotFoundError,
    ProtocolError,
    QuotaError,
    RateLimitedError,
    RegistryError,
    ServerError,
)
from ocync.registry.http.socket_errors import is_of_unknown_authority
from ocync.registry.pull_quota import renewal
from ocync.registry.ratelimit_headers import DURATION, go_duration, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ocync.registry.ratelimit_headers import Allowance

_SHOWN = 300

# Docker Hub's quota: "You have reached your pull rate limit. ... https://www.docker.com/increase-rate-limit"
# (docs.docker.com, usage/pulls). Its abuse limit is a plain 429 "Too Many Requests" and worth waiting for.
_PULL_QUOTA = re.compile(r"reached your (?:unauthenticated )?pull rate limit|increase-rate-limit", re.IGNORECASE)
# GitHub: "You have exceeded a secondary rate limit" as 403 (werf/werf#3665).
_SECONDARY_LIMIT = re.compile(r"secondary rate limit", re.IGNORECASE)
# Harbor: "adding 29.0 MiB of storage resource ... will exceed the configured upper limit" (goharbor/harbor#17390).
_STORAGE_QUOTA = re.compile(r"exceed the configured upper limit|quota.{0,40}exceeded", re.IGNORECASE)
# ECR 400 TAG_INVALID "... cannot be overwritten because the tag is immutable" (aws/containers-roadmap#862);
# Harbor 412 "configured as immutable" (ErrImmutable); Artifact Registry "has enabled tag immutability"
# (cloud.google.com, artifact-registry/docs/docker/troubleshoot).
_IMMUTABLE = re.compile(r"immutab", re.IGNORECASE)
_IMMUTABLE_STATUSES = (400, 403, 405, 409, 412)
# GHCR: "TOOMANYREQUESTS: retry-after: 10.305464ms, allowed: 2000/minute" (dependabot/cli#380).
_MESSAGE_RETRY = re.compile(rf"retry-after:\s*({DURATION}{{1,8}})", re.IGNORECASE)
# GitHub's documents ask for a minute at least where a secondary limit tells no time
# (docs.github.com, rest/using-the-rest-api/rate-limits-for-the-rest-api).
_SECONDARY_WAIT = 60.0
# Seconds; what is renewed later than that is a quota, and no limit of the pace.
_HOURS = 600.0


@dataclass(frozen=True, slots=True)
class Detail:
    """What an error's body says: the first code that tells something, all messages in one line; or nothing."""

    code: str = ""
    message: str = ""


def read_detail(body: bytes) -> Detail:
    """Read `{"errors": [{"code", "message"}]}` (distribution-spec, "Error Codes"), or whatever else is there."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        text = body[: _SHOWN * 4].decode("utf-8", "replace")
        return Detail(message="" if "<html" in text.lower() else clean(text))
    entries = parsed.get("errors") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        # Token services and proxies answer with one flat object.
        entries = [parsed] if isinstance(parsed, dict) else []
    codes, messages = [], []
    for entry in entries[:5]:
        if not isinstance(entry, dict):
            continue
        codes.append(entry.get("code") or "")
        message = (
            entry.get("message") or entry.get("error_description") or entry.get("details") or entry.get("error")
        )
        detail = entry.get("detail")
        messages.append(_with_detail(message, detail) if isinstance(message, str) else "")
    named = [code for code in codes if isinstance(code, str) and code]
    code = next((code for code in named if code != "UNKNOWN"), named[0] if named else "")
    return Detail(clean(code)[:60], clean("; ".join(dict.fromkeys(text for text in messages if text))))


def _with_detail(message: str, detail: object) -> str:
    """Add what a message is about, where it doesn't say so: which blob is unknown."""
    return f"{message} ({detail})" if isinstance(detail, str) and detail and detail not in message else message


def clean(text: str) -> str:
    """Make foreign text fit for a terminal and a log: one line, no control characters, not endless."""
    flat = "".join(char if char.isprintable() else " " for char in text).strip()
    return flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An unwelcome answer: its status line, its Retry-After and what was read of its body (a HEAD has none)."""

    status: int
    reason: str
    retry_after: str | None
    body: bytes
    elsewhere: str | None = None
    """The host that gave it, where the registry had sent us on to another one."""
    allowance: Allowance | None = None
    """What it tells of the registry's limits."""


def from_answer(refusal: Refusal, *, what: str, host: str, now: datetime) -> RegistryError:
    """Return the error that an unwelcome answer is; `what` says what was tried, as "push the manifest of x"."""
    detail = read_detail(refusal.body)
    said = ": ".join(part for part in (detail.code, detail.message) if part) or refusal.reason
    who = f"{host} sent us on to {refusal.elsewhere}, which" if refusal.elsewhere else host
    message = f"can't {what}: {who} answered {refusal.status} {clean(said)}".rstrip()
    wait = retry_after(refusal.retry_after, now)
    if refusal.elsewhere and refusal.status in (400, 403):
        # Storage refuses a signed URL that has ended; the registry gives another one (S3 says 403, GCS 400).
        return ServerError(message, host=host, status=refusal.status, retry_after=wait)
    told = refusal.allowance
    renewed_in = told.renewed_in if told is not None and not told.remaining else None
    is_empty_for_hours = wait is None and renewed_in is not None and renewed_in > _HOURS
    if _is_pull_quota(refusal.status, detail) or (refusal.status == 429 and is_empty_for_hours):
        when = renewal(renewed_in, now.timestamp()) if renewed_in is not None else remedies.PULL_QUOTA
        return QuotaError(
            message,
            host=host,
            status=refusal.status,
            code=detail.code or None,
            # Its Retry-After is not that of the quota, which lasts for hours.
            retry_after=renewed_in,
            hint=f"the pull quota is used up: {when}",
        )
    return _classify(refusal.status, detail, message=message, host=host, wait=renewed_in if wait is None else wait)


def _is_pull_quota(status: int, detail: Detail) -> bool:
    return (status == 429 or detail.code == "TOOMANYREQUESTS") and bool(_PULL_QUOTA.search(detail.message))


def _classify(status: int, detail: Detail, *, message: str, host: str, wait: float | None) -> RegistryError:
    code, text = detail.code, detail.message

    def make(kind: type[RegistryError], *, hint: str | None = None, after: float | None = None) -> RegistryError:
        return kind(message, host=host, status=status, code=code or None, retry_after=after, hint=hint)

    if status in (403, 429) and _SECONDARY_LIMIT.search(text):
        return make(RateLimitedError, after=_SECONDARY_WAIT if wait is None else wait)
    if status == 429 or code == "TOOMANYREQUESTS":
        return make(RateLimitedError, after=_wait_in_message(text) if wait is None else wait)
    if _STORAGE_QUOTA.search(text) and 400 <= status < 600:
        return make(QuotaError, hint=remedies.STORAGE_QUOTA)
    if status in _IMMUTABLE_STATUSES and _IMMUTABLE.search(text):
        return make(ImmutableTagError, hint=remedies.IMMUTABLE_TAG)
    if status == 401:
        return make(AuthError, hint=remedies.CREDENTIALS)
    if status == 403:
        return make(AuthError, hint=remedies.FORBIDDEN)
    # Distribution gives several errors the status of the first one, so that this one comes with 400 and 500 too.
    if status == 404 or code == "MANIFEST_BLOB_UNKNOWN":
        return make(NotFoundError, hint=remedies.MISSING_REPOSITORY if code == "NAME_UNKNOWN" else None)
    if status == 507:
        return make(QuotaError, hint=remedies.STORAGE_QUOTA)
    # 425 asks for the same request once more (RFC 8470 section 5.2).
    if status in (408, 425) or status >= 500:
        return make(ServerError, after=wait)
    return make(ProtocolError)


def may_be_immutable(error: RegistryError) -> bool:
    """Return whether a tag was refused, perhaps, because it is set: some registries say so in unknown words."""
    if isinstance(error, ImmutableTagError) or error.status in (403, 409, 412):
        return True
    return error.status == 400 and error.code == "TAG_INVALID"


def immutable_tag(error: RegistryError, digest: str) -> RegistryError:
    """
    Return what the refusal of a tag is that points to another digest: mostly an ImmutableTagError.

    Docker Hub does not document how it refuses a tag that must not be changed.
    """
    if error.status == 403 and not isinstance(error, ImmutableTagError):
        error.hint = f"{error.hint}; or the tag must not be moved: it points to {digest}"
        return error
    return ImmutableTagError(
        error.message,
        host=error.host,
        status=error.status,
        code=error.code,
        hint=f"it points to {digest}: {remedies.IMMUTABLE_TAG}",
    )


def _wait_in_message(text: str) -> float | None:
    match = _MESSAGE_RETRY.search(text)
    return go_duration(match.group(1).lower()) if match else None


def from_transport(error: httpx.TransportError, *, what: str, host: str) -> RegistryError:
    """
    Return the error that a broken exchange is; the URL, which may be signed, is not in the message.

    What can't be sent at all (a registry gave us an impossible URL) is a ProtocolError.
    """
    why = clean(str(error)) or type(error).__name__
    # Most errors name the address themselves, and so do logins: whoever reads this in a log needs it once.
    message = f"can't {what}: {why}" if host in f"{what} {why}" else f"can't {what}: {host}: {why}"
    if isinstance(error, httpx.LocalProtocolError):
        return ProtocolError(message, host=host)
    hint = remedies.PRIVATE_AUTHORITY if is_of_unknown_authority(error.__cause__) else None
    return NetworkError(message, host=host, hint=hint)


@contextmanager
def translated(what: str, host: str) -> Iterator[None]:
    """Raise errors of the transport, and of time, as NetworkError with what was tried."""
    try:
        yield
    except httpx.TransportError as error:
        raise from_transport(error, what=what, host=host) from error
    except TimeoutError as error:
        raise NetworkError(f"can't {what}: {host} took too long", host=host) from error
