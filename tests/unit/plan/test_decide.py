"""The decisions of the plan, for one tag at one target."""

from __future__ import annotations

import pytest

from memory import Place
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.plan.decide import decide
from ocync.plan.model import Candidate, Copy, Decision, Reason, Skip, TargetState
from ocync.plan.source import SourceImage
from passes import mapping

WANTED, OTHER = Digest.of(b"wanted"), Digest.of(b"other")


def at(digest: Digest) -> Descriptor:
    return Descriptor(media_type="", digest=digest, size=1)


@pytest.mark.parametrize(
    ("there", "immutable", "decision"),
    [
        (WANTED, False, Skip(reason=Reason.UP_TO_DATE, digest=WANTED)),
        (WANTED, True, Skip(reason=Reason.UP_TO_DATE, digest=WANTED)),
        (OTHER, False, Copy(reason=Reason.MOVED, previous=OTHER)),
        (OTHER, True, Skip(reason=Reason.IMMUTABLE_TAG, digest=OTHER)),
        (None, False, Copy(reason=Reason.NEW)),
        (None, True, Copy(reason=Reason.NEW)),
    ],
)
def test_a_tag_is_left_set_or_moved_unless_it_never_changes(
    there: Digest | None, decision: Decision, *, immutable: bool
) -> None:
    assert decide(WANTED, None if there is None else at(there), immutable=immutable) == decision


@pytest.mark.parametrize(
    ("immutable", "tags", "settled"),
    [
        (True, {"v1", "v2"}, True),
        (True, {"v2"}, False),
        (True, None, False),
        (False, {"v1"}, False),
    ],
)
def test_only_an_immutable_tag_that_the_target_lists_is_settled(
    immutable: bool, tags: set[str] | None, settled: bool
) -> None:
    candidate = Candidate(
        mapping=mapping("app"),
        image=SourceImage(Place("source").repository("app"), "v1"),
        target=TargetState(repository=Place("a").repository("app"), tags=None if tags is None else frozenset(tags)),
        immutable=immutable,
    )

    assert candidate.is_settled is settled


def test_bytes_that_a_target_names_by_another_algorithm_are_up_to_date() -> None:
    raw = b"a manifest"
    by_sha256, by_sha512 = Digest.of(raw), Digest.of(raw, "sha512")

    assert decide(by_sha512, at(by_sha256), raw) == Skip(reason=Reason.UP_TO_DATE, digest=by_sha256)
    assert isinstance(decide(by_sha512, at(Digest.of(b"another")), raw), Copy)
    assert isinstance(decide(by_sha512, at(by_sha256)), Copy)
