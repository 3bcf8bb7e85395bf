"""
What each kind of error means to the user, and what to do about it: the one table of remedies.

An error that knows more than its kind has a hint of its own. The hints about a registry's refusals are here too, so
that an error and the summary give the same advice.
"""

from __future__ import annotations

from typing import NamedTuple

from ocync.lib.errors import ErrorKind

CREDENTIALS = "run `ocync auth check -c FILE`; renew the secret if it has expired, or grant what it lacks"
REFUSED_CREDENTIALS = "check the credentials and their permissions on this repository"
FORBIDDEN = "the credentials are not allowed to do this, or the repository does not exist"
MISSING_REPOSITORY = (
    "the repository does not exist, or these credentials can't see it; create it first if it is a target's "
    "(create_repository does that at ECR)"
)
PULL_QUOTA = "log in, or wait until it is renewed"
STORAGE_QUOTA = "raise the quota of the target, or delete images there"
IMMUTABLE_TAG = "add the tag to immutable_tags to leave it alone, delete it there, or mirror by digest"
TOO_LARGE = (
    "the target, or a proxy before it, limits the size of requests: raise the limit (nginx: client_max_body_size)"
)
PRIVATE_AUTHORITY = (
    "if its certificate authority is private, set the registry's tls.ca_file to the authority's certificate"
)
MISSING_PLATFORM = (
    "the source may be a caching proxy, which holds what was pulled through it: set platforms to those that it "
    "has, or mirror from the registry behind it"
)
MISSING_ATTESTATION = (
    "the source may be a caching proxy, which holds what was pulled through it: pull the attestation through it by "
    "its digest, mirror from the registry behind it, or leave the image that it describes out with platforms"
)
TOO_FEW_TAGS = "compare the rules with the output of `ocync tags REPO -c FILE`, or lower min_tags"
DEFECT = "this is a defect of ocync: please report it with the output of -vv"


class Cause(NamedTuple):
    """What a kind of error means, and what to do about it."""

    meaning: str
    remedy: str


_CAUSES = {
    ErrorKind.AUTH: Cause("credentials are missing, refused or not sufficient", CREDENTIALS),
    ErrorKind.NOT_FOUND: Cause(
        "the source has no such image, or the target no such repository",
        "check the names and the credentials: registries hide what the credentials do not cover, and some need a "
        "repository to be created before the first push",
    ),
    ErrorKind.RATE_LIMITED: Cause(
        "a registry kept asking for fewer requests until all attempts were used up",
        "lower max_concurrent of that registry, log in to it, or run less often",
    ),
    ErrorKind.QUOTA: Cause(
        "a pull or storage quota is used up", f"for pulls, {PULL_QUOTA}; for storage, {STORAGE_QUOTA}"
    ),
    ErrorKind.IMMUTABLE_CONFLICT: Cause("the target refuses to move a tag to another image", IMMUTABLE_TAG),
    ErrorKind.VERIFICATION: Cause(
        "its bytes do not match its digest, or it is not signed as `verify` requires; its tag was not written",
        "if the bytes do not match, look for a proxy that changes or truncates responses, or tell the registry's "
        "operator; for signatures, see below",
    ),
    ErrorKind.NETWORK: Cause(
        "there was no connection, or it broke",
        "check DNS, network policies, proxy settings and tls.ca_file; the next pass tries again",
    ),
    ErrorKind.SERVER: Cause("a registry failed", "see its status page or its log; the next pass tries again"),
    ErrorKind.PROTOCOL: Cause(
        "a registry gave an answer that can't be understood, or refused a request for good",
        "check that the address is a registry's; if it is, please report this with the output of -vv",
    ),
    ErrorKind.TAG_RULES: Cause("the tag rules select too few tags, or can't be applied", TOO_FEW_TAGS),
    ErrorKind.INCOMPLETE_ARTIFACTS: Cause(
        "signatures, SBOMs or attestations of these images are not all at the target, or can't be listed",
        "see below for the reason; the image's tag stays as it is until they are all there",
    ),
    ErrorKind.STORAGE: Cause(
        "a local file or folder can't be read or written", "check its path, its permissions and the free space"
    ),
    ErrorKind.CONFIG: Cause("the configuration can't be used", "run `ocync validate FILE`"),
    ErrorKind.INTERRUPTED: Cause(
        "a signal or the deadline came first",
        "the next pass copies these; if it happens repeatedly, raise global.deadline or run more often",
    ),
    ErrorKind.INTERNAL: Cause("an unexpected error", DEFECT),
}


def cause_of(kind: ErrorKind) -> Cause:
    """Return the meaning and the remedy of a kind of error."""
    return _CAUSES[kind]
