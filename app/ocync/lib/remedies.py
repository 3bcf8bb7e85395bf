"""
What each kind of error means to whoever runs ocync, and what to do about it: the one table of remedies.

An error that knows more than its kind has a hint of its own. Those hints that advise on a registry's refusals stand
here too, so that an error and the summary never advise against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from ocync.lib.errors import ErrorKind

CREDENTIALS = "run `ocync auth check -c FILE`; renew the secret if it has expired, or grant what it lacks"
REFUSED_CREDENTIALS = "check them, and that they are allowed to use this repository"
FORBIDDEN = "the credentials are not allowed to do this, or the repository does not exist"
MISSING_REPOSITORY = (
    "the repository does not exist there, or not for these credentials; at a target it has to be created first "
    "(create_repository does that at ECR)"
)
PULL_QUOTA = "log in, or wait until it is renewed"
STORAGE_QUOTA = "raise the quota at the target, or free space there"
IMMUTABLE_TAG = "add the tag to immutable_tags to leave it alone, delete it there, or mirror by digest"
TOO_LARGE = (
    "the target, or a proxy before it, limits the size of requests: raise that limit (nginx: client_max_body_size)"
)
PRIVATE_AUTHORITY = "if its authority is a private one, name the file of that in the registry's tls.ca_file"
TOO_FEW_TAGS = "compare the rules with the tags there are by `ocync tags REPO -c FILE`, or lower min_tags"
DEFECT = "this is a defect of ocync: please report it with the output of -vv"


@dataclass(frozen=True, slots=True)
class Cause:
    """One kind of error: what it is, and what to do."""

    meaning: str
    remedy: str


_CAUSES = {
    ErrorKind.AUTH: Cause(
        "credentials are missing, refused or not sufficient",
        CREDENTIALS,
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
        f"for pulls, {PULL_QUOTA}; for storage, {STORAGE_QUOTA}",
    ),
    ErrorKind.IMMUTABLE_CONFLICT: Cause(
        "the target refuses to move a tag to another image",
        IMMUTABLE_TAG,
    ),
    ErrorKind.VERIFICATION: Cause(
        "its bytes are not those of its digest, or it is not signed as `verify` demands; nothing of it was kept",
        "for bytes, look for a proxy that changes or cuts off answers, or tell the registry's operator; "
        "for signatures, see below",
    ),
    ErrorKind.NETWORK: Cause(
        "there was no connection, or it broke",
        "check DNS, network policies, proxy settings and tls.ca_file; the next pass tries again",
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
        TOO_FEW_TAGS,
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
        "an unexpected error",
        DEFECT,
    ),
}


def cause_of(kind: ErrorKind) -> Cause:
    """Return the meaning and the remedy of a kind of error."""
    return _CAUSES[kind]
