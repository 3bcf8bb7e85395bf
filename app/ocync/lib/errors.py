"""
Every error that crosses a module boundary.

A module that calls httpx, yaml, jsonschema or the operating system raises their errors again as one of these, with
the cause kept. This module imports nothing from the package.

    OcyncError                    an error that the user reads as one line
    ├── ConfigError               the config file or the command line is wrong; exit 3
    ├── RegistryError             one exchange with a registry failed; has a host and perhaps a status
    │   ├── AuthError             credentials are missing, refused or not sufficient; exit 4 if all fail so
    │   ├── NotFoundError         the repository, tag, manifest or blob is not there
    │   ├── RateLimitedError      429, or a 403 that means the same; retryable
    │   │   └── ThrottledError    the host has answered nothing else for a long time; no request was made
    │   ├── QuotaError            a pull or storage quota is used up; not renewed within this pass
    │   ├── ImmutableTagError     the target refuses to move a tag
    │   ├── ServerError           5xx and 408; retryable
    │   ├── NetworkError          no connection, or one that broke or stalled; retryable
    │   │   └── UnreachableError  the host has not answered for a long time; no request was made
    │   │       └── NotSentError  others of its kind stood still, so this request was not made
    │   ├── VerificationError     the bytes do not match their digest or size; retryable
    │   │   └── UnsignedError     an image has no signature by a trusted signer
    │   └── ProtocolError         an invalid answer, or a request refused for good
    ├── TagRuleError              a mapping's tag rules select too few tags, or can't be applied
    ├── IncompleteArtifactsError  an image's signatures or SBOMs are not all at the target, or it is not known
    ├── NotShownError             a target refuses a look in a rolling audit, which then copies nothing
    ├── StorageError              a local file or folder can't be read or written
    └── InterruptedPassError      a signal or the deadline came before the work was complete; exit 5
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar, Self


class ExitCode(IntEnum):
    """The exit code of the process."""

    OK = 0
    """Everything is synced or was up to date."""
    PARTIAL = 1
    """Some images failed, others did not."""
    FAILED = 2
    """All images failed, or there was an unexpected error."""
    CONFIG = 3
    """The configuration or the command line is wrong."""
    AUTH = 4
    """All failures are about authentication or authorisation."""
    INTERRUPTED = 5
    """A signal or the deadline ended the pass before it was complete."""


class ErrorKind(StrEnum):
    """The `error.kind` of the JSON report; the values are part of its format."""

    AUTH = "auth"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    IMMUTABLE_CONFLICT = "immutable_conflict"
    VERIFICATION = "verification"
    NETWORK = "network"
    SERVER = "server"
    PROTOCOL = "protocol"
    TAG_RULES = "tag_rules"
    INCOMPLETE_ARTIFACTS = "incomplete_artifacts"
    STORAGE = "storage"
    CONFIG = "config"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


LONGEST = 2048
"""The most bytes, in UTF-8, of a message or a hint."""


class OcyncError(Exception):
    """
    An error with a message fit for a user: what failed, why, and (in `hint`) what to do.

    Both are cut to LONGEST bytes, since they may quote a registry and a pass keeps the errors of all images.
    With `retryable`, the same attempt may succeed later in the same pass.
    """

    kind: ErrorKind = ErrorKind.INTERNAL
    exit_code: ExitCode = ExitCode.FAILED
    retryable: bool = False
    host: str = ""
    """The `host[:port]` of the registry that it is about, if any."""
    is_bounded: ClassVar[bool] = True
    """Whether texts are cut; not needed where all of them come from the user."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        if self.is_bounded:
            message, hint = _bounded(message), hint and _bounded(hint)
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    @classmethod
    def because(cls, cause: OcyncError, what: str) -> Self:
        """Return an error of this class that `cause` leads to; it takes over the hint, the host and `retryable`."""
        error = cls(f"{what}: {cause.message}", hint=cause.hint)
        error.retryable, error.host = cause.retryable, cause.host
        return error


def _bounded(text: str) -> str:
    """Cut a long text in its middle: it begins with what failed and ends with the reason."""
    if len(text) * 4 <= LONGEST:
        return text
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= LONGEST:
        return text
    end = LONGEST // 4
    kept = data[: LONGEST - end - 5], data[-end:]
    return " … ".join(part.decode("utf-8", "ignore") for part in kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a config file; line and column count from 1, and 0 means unknown."""

    message: str
    path: str = ""
    line: int = 0
    column: int = 0

    def render(self, file: str) -> str:
        """Return `file:line:column: path: message`, without the unknown parts."""
        position = f"{file}:{self.line}:{self.column}" if self.line else file
        return f"{position}: {self.path}: {self.message}" if self.path else f"{position}: {self.message}"


class ConfigError(OcyncError):
    """The config file or the command line is wrong; `problems` holds every mistake in the file."""

    kind = ErrorKind.CONFIG
    exit_code = ExitCode.CONFIG
    is_bounded = False

    def __init__(
        self, message: str, *, file: str = "", problems: tuple[Problem, ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.problems = problems

    @classmethod
    def of(cls, file: str, problems: tuple[Problem, ...]) -> ConfigError:
        """Return the error of a file with at least one problem, ordered by line."""
        ordered = tuple(sorted(problems, key=lambda p: (p.line, p.column, p.path, p.message)))
        lines = [problem.render(file) for problem in ordered]
        return cls("\n".join(lines), file=file, problems=ordered)


class RegistryError(OcyncError):
    """
    One exchange with a registry failed.

    `host` is `host[:port]`; `status` the HTTP status, if there was an answer; `code` the registry's own error code
    (`MANIFEST_UNKNOWN`, ...); `retry_after` the seconds that the registry asks to wait.
    """

    kind = ErrorKind.PROTOCOL

    def __init__(
        self,
        message: str,
        *,
        host: str = "",
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.host = host
        self.status = status
        self.code = code
        self.retry_after = retry_after

    @property
    def is_refusal(self) -> bool:
        """Whether a request was refused for itself: a look that ends so says nothing of what is there."""
        return False


class AuthError(RegistryError):
    """Credentials are missing, were refused, or do not suffice (401, 403, a failed helper)."""

    kind = ErrorKind.AUTH
    exit_code = ExitCode.AUTH

    @property
    def is_refusal(self) -> bool:
        """Whether a request was refused, and there was a login for it; what is missing may be refused too."""
        return self.status is not None


class NotFoundError(RegistryError):
    """The repository, tag, manifest or blob is not there (404)."""

    kind = ErrorKind.NOT_FOUND


class RateLimitedError(RegistryError):
    """The registry asks for fewer requests (429, or a 403 that says so)."""

    kind = ErrorKind.RATE_LIMITED
    retryable = True


class ThrottledError(RateLimitedError):
    """The registry has refused all requests of one kind for a long time, so this one was not made."""


class QuotaError(RegistryError):
    """A pull or storage quota is used up, and not renewed within this pass."""

    kind = ErrorKind.QUOTA


class ImmutableTagError(RegistryError):
    """The target refuses to move an existing tag to another digest."""

    kind = ErrorKind.IMMUTABLE_CONFLICT


class ServerError(RegistryError):
    """The registry failed (408, 5xx)."""

    kind = ErrorKind.SERVER
    retryable = True


class NetworkError(RegistryError):
    """There is no connection, or it broke, stalled or ended early."""

    kind = ErrorKind.NETWORK
    retryable = True


class UnreachableError(NetworkError):
    """The host has answered no request for a long time, so this one was not made or not tried again."""


class NotSentError(UnreachableError):
    """Several requests of this kind have stood still at the host, so this one was not made."""


class VerificationError(RegistryError):
    """The bytes do not match their digest or size."""

    kind = ErrorKind.VERIFICATION
    # A flipped bit or a truncating proxy may be gone at the next try.
    retryable = True


class UnsignedError(VerificationError):
    """An image has no signature by a trusted signer, or its signatures can't be read."""

    retryable = False


class ProtocolError(RegistryError):
    """An answer violates the specification, or a request is refused for good (400, 405, 413, ...)."""

    kind = ErrorKind.PROTOCOL

    @property
    def is_refusal(self) -> bool:
        """Whether a request was refused for itself (400, 405), and not an answer that can't be read."""
        return self.status is not None and 400 <= self.status < 500

    @classmethod
    def of_page(cls, host: str, status: int, *, what: str = "") -> ProtocolError:
        """Return the error of a web page in place of a success; `what` is the request, as a verb phrase."""
        answered = f"{host} answered {status} with a web page"
        return cls(
            f"can't {what}: {answered}" if what else answered,
            host=host,
            status=status,
            hint="a proxy or a login page stands in between, or the host is not a registry",
        )


class TagRuleError(OcyncError):
    """A mapping's tag rules select fewer tags than `min_tags`, or can't be applied."""

    kind = ErrorKind.TAG_RULES


class IncompleteArtifactsError(OcyncError):
    """An image's signatures or SBOMs are not all at the target, or it is not known which there are."""

    kind = ErrorKind.INCOMPLETE_ARTIFACTS


class NotShownError(OcyncError):
    """A target refuses a look in a rolling audit: nothing is known to be lost, so nothing is copied."""

    kind = ErrorKind.PROTOCOL
    retryable = True


class StorageError(OcyncError):
    """A local file or folder (an OCI layout, a credentials file) can't be read or written."""

    kind = ErrorKind.STORAGE


class InterruptedPassError(OcyncError):
    """A signal or the deadline came before the work was complete."""

    kind = ErrorKind.INTERRUPTED
    exit_code = ExitCode.INTERRUPTED
