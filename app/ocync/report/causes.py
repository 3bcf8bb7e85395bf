"""What each kind of error means to whoever runs ocync, and what is to be done about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ocync.errors import ErrorKind


@dataclass(frozen=True, slots=True)
class Cause:
    """One kind of error: what it is, and what to do."""

    meaning: str
    remedy: str


_CAUSES = {
    ErrorKind.AUTH: Cause(
        "credentials are missing, refused or not sufficient",
        "run `ocync auth check -c FILE`; renew the secret if it has expired, or grant what it lacks",
    ),
    ErrorKind.NOT_FOUND: Cause(
        "the source has no such image, or the target no such repository",
        "check the names; registries hide what credentials do not cover, and some want repositories created first",
    ),
    ErrorKind.RATE_LIMITED: Cause(
        "a registry asked to slow down until all attempts were used up",
        "lower max_concurrent of that registry, log in to it, or run less often",
    ),
    ErrorKind.QUOTA: Cause(
        "a pull or storage quota is used up",
        "wait until it is renewed, log in for a larger one, or make room at the target",
    ),
    ErrorKind.IMMUTABLE_CONFLICT: Cause(
        "the target refuses to move a tag to another image",
        "add the tag to immutable_tags to leave it alone, or let the target move it",
    ),
    ErrorKind.VERIFICATION: Cause(
        "what came is not what its digest promised; nothing of it was kept",
        "look for a proxy that changes or cuts off answers; if there is none, tell the registry's operator",
    ),
    ErrorKind.NETWORK: Cause(
        "there was no connection, or it broke",
        "check DNS, network policy, proxy settings and tls.ca_file; the next pass tries again",
    ),
    ErrorKind.SERVER: Cause(
        "a registry failed",
        "see its status page or its log; the next pass tries again",
    ),
    ErrorKind.PROTOCOL: Cause(
        "a registry answered in a way that is not understood, or refused for good",
        "check that the address is a registry's; if it is, please report this with the output of -vv",
    ),
    ErrorKind.TAG_RULES: Cause(
        "the tag rules select too little, or can't be applied",
        "compare them with `ocync tags REPO -c FILE`",
    ),
    ErrorKind.INCOMPLETE_ARTIFACTS: Cause(
        "signatures, SBOMs or attestations of these images are not all at the target, or can't be known",
        "see what kept them back below; the image's tag is left as it was until they are there",
    ),
    ErrorKind.STORAGE: Cause(
        "a local file or folder can't be read or written",
        "check its path, its permissions and the space that is left",
    ),
    ErrorKind.CONFIG: Cause(
        "the configuration can't be used",
        "run `ocync validate FILE`",
    ),
    ErrorKind.INTERRUPTED: Cause(
        "a signal or the deadline came first",
        "the next pass goes on with these; if it happens again and again, raise global.deadline or run more often",
    ),
    ErrorKind.INTERNAL: Cause(
        "a defect of ocync",
        "please report it with the output of -vv",
    ),
}


def cause_of(kind: ErrorKind) -> Cause:
    """Return the meaning and the remedy of a kind of error."""
    return _CAUSES[kind]
