"""
Every error that crosses a module boundary.

Nothing of httpx, httpcore, yaml, jsonschema or the operating system leaves the module that called it: it is
raised again as one of these, with the cause kept. This module imports nothing from the package.

    OcyncError                    anything said to the user in one line
    ├── ConfigError               the config file or the command line is wrong; exit 3
    ├── RegistryError             one exchange with a registry failed; has a host and perhaps a status
    │   ├── AuthError             credentials are missing, refused or not sufficient; exit 4 if all fail so
    │   ├── NotFoundError         the repository, tag, manifest or blob is not there
    │   ├── RateLimitedError      429 and its disguises; worth waiting for
    │   │   └── ThrottledError    nothing else for long; worth another try, and no waiting for it
    │   ├── QuotaError            a pull or storage quota is used up; waiting within this pass is useless
    │   ├── ImmutableTagError     the target refuses to move a tag
    │   ├── ServerError           5xx and 408; worth another try
    │   ├── NetworkError          no connection, a broken or a stalled one; worth another try
    │   │   └── UnreachableError  no answer to anyone for long; worth another try, and no waiting for it
    │   ├── VerificationError     the bytes are not those the digest or size promised
    │   │   └── UnsignedError     an image is not signed by whom it has to be
    │   └── ProtocolError         an answer outside of the specification, or a request refused for good
    ├── TagRuleError              a mapping's tag rules select too little, or can't be applied
    ├── IncompleteArtifactsError  something attached to an image is not at the target, or can't be known
    ├── StorageError              a local file or folder can't be read or written
    └── InterruptedPassError      a signal or the deadline came before the work was complete; exit 5
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process says to Kubernetes, to a shell, to a person."""

    OK = 0
    """Everything is synced or was up to date."""
    PARTIAL = 1
    """Some images failed, others did not."""
    FAILED = 2
    """All images failed, or something happened that has no class of its own."""
    CONFIG = 3
    """The configuration or the command line is wrong: another try is pointless."""
    AUTH = 4
    """All failures are about authentication or authorisation."""
    INTERRUPTED = 5
    """A signal or the deadline ended the pass before it was complete."""


class ErrorKind(StrEnum):
    """The `error.kind` of the JSON report; its values are part of the contract with readers of reports."""

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
"""Bytes in UTF-8 that a message has at most, and a hint."""


class OcyncError(Exception):
    """
    An error with a message fit for a user: what failed, why, and (in `hint`) what to do.

    Both are cut to LONGEST bytes: a stranger's words may stand in them, and a pass keeps the errors of all images.
    `retryable` says that the same attempt may succeed later in the same pass.
    """

    kind: ErrorKind = ErrorKind.INTERNAL
    exit_code: ExitCode = ExitCode.FAILED
    retryable: bool = False
    is_bounded: ClassVar[bool] = True
    """Whether texts are cut: not where all of them come from the user."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        if self.is_bounded:
            message, hint = _bounded(message), hint and _bounded(hint)
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


def _bounded(text: str) -> str:
    """Return the text, cut in its middle where it is too long: what failed stands in front, and why at the end."""
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
    """One thing wrong with a config file; line and column count from 1, 0 means not known."""

    message: str
    path: str = ""
    line: int = 0
    column: int = 0

    def render(self, file: str) -> str:
        """Return `file:line:column: path: message`, without the parts that are not known."""
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(OcyncError):
    """The config file, or the command line, can't be used; holds every problem that was found."""

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
        """Make the error of a file with at least one problem, in the order of their places."""
        ordered = tuple(sorted(problems, key=lambda p: (p.line, p.column, p.path, p.message)))
        lines = [problem.render(file) for problem in ordered]
        return cls("\n".join(lines), file=file, problems=ordered)


class RegistryError(OcyncError):
    """
    One exchange with a registry failed.

    `host` is `host[:port]`; `status` the HTTP status where there was one; `code` the registry's own error
    code (`MANIFEST_UNKNOWN`, ...); `retry_after` the seconds that the registry asked us to wait.
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


class AuthError(RegistryError):
    """Credentials are missing, were refused, or do not suffice (401, 403, a failed helper)."""

    kind = ErrorKind.AUTH
    exit_code = ExitCode.AUTH


class NotFoundError(RegistryError):
    """The repository, tag, manifest or blob is not there (404)."""

    kind = ErrorKind.NOT_FOUND


class RateLimitedError(RegistryError):
    """The registry asks us to slow down (429, or a 403 that says so)."""

    kind = ErrorKind.RATE_LIMITED
    retryable = True


class ThrottledError(RateLimitedError):
    """
    The registry has refused everything of a kind for long, so that this was not asked for.

    Another try later may succeed; to wait for it again and again would make a pass endless.
    """


class QuotaError(RegistryError):
    """A pull or storage quota is used up: trying again within this pass is useless."""

    kind = ErrorKind.QUOTA


class ImmutableTagError(RegistryError):
    """The target refuses to let an existing tag point to another digest."""

    kind = ErrorKind.IMMUTABLE_CONFLICT


class ServerError(RegistryError):
    """The registry failed (408, 5xx)."""

    kind = ErrorKind.SERVER
    retryable = True


class NetworkError(RegistryError):
    """There was no connection, or it broke, stalled or ended early."""

    kind = ErrorKind.NETWORK
    retryable = True


class UnreachableError(NetworkError):
    """
    The host gives no answer, to this request or to those before it, and has not for long.

    Another try later may succeed; to wait for it again and again would make a pass endless.
    """


class VerificationError(RegistryError):
    """The bytes that came are not those that the digest or the size promised."""

    kind = ErrorKind.VERIFICATION
    # A flipped bit or a truncating proxy may be gone at the next try; a liar stays one, within bounds.
    retryable = True


class UnsignedError(VerificationError):
    """An image is not signed by whom it has to be, or that can't be known."""

    retryable = False

    @classmethod
    def because(cls, cause: OcyncError, what: str) -> UnsignedError:
        """Return the error that another one leads to: as worth another try as that one, with its hint."""
        error = cls(f"{what}: {cause.message}", hint=cause.hint)
        error.retryable = cause.retryable
        return error


class ProtocolError(RegistryError):
    """An answer outside of the specification, or a request that was refused for good (400, 405, 413, ...)."""

    kind = ErrorKind.PROTOCOL

    @classmethod
    def of_page(cls, host: str, status: int, *, what: str = "") -> ProtocolError:
        """Return the error that a page for people is, in the place of a success; `what` was to be done."""
        answered = f"{host} answered {status} with a web page"
        return cls(
            f"can't {what}: {answered}" if what else answered,
            host=host,
            status=status,
            hint="a proxy or a login page stands between, or the host is no registry",
        )


class TagRuleError(OcyncError):
    """A mapping's tag rules select fewer tags than `min_tags`, or can't be applied."""

    kind = ErrorKind.TAG_RULES


class IncompleteArtifactsError(OcyncError):
    """Not everything that is attached to an image is at the target, or what that would be can't be known."""

    kind = ErrorKind.INCOMPLETE_ARTIFACTS

    @classmethod
    def because(cls, cause: OcyncError, what: str) -> IncompleteArtifactsError:
        """Return the error that another one leads to: as worth another try as that one, with its hint."""
        error = cls(f"{what}: {cause.message}", hint=cause.hint)
        error.retryable = cause.retryable
        return error


class StorageError(OcyncError):
    """A local file or folder (an OCI layout, a credentials file) can't be read or written."""

    kind = ErrorKind.STORAGE


class InterruptedPassError(OcyncError):
    """A signal or the deadline came before the work was complete."""

    kind = ErrorKind.INTERRUPTED
    exit_code = ExitCode.INTERRUPTED
