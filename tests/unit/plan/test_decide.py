"""The decisions of the plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocync.errors import NetworkError
from ocync.layout.repository import LayoutRepository
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.plan.decide import decide, is_settled
from ocync.plan.model import Broken, Copy, Skip, TargetState
from ocync.transfer.result import Reason

WANTED, OTHER = Digest.of(b"wanted"), Digest.of(b"other")


def at(digest: Digest) -> Descriptor:
    return Descriptor(media_type="", digest=digest, size=1)


def test_each_target_is_decided_for_itself() -> None:
    error = NetworkError("down")

    decisions = decide(WANTED, [at(WANTED), at(OTHER), None, error])

    assert decisions == (
        Skip(reason=Reason.UP_TO_DATE, digest=WANTED),
        Copy(reason=Reason.MOVED, previous=OTHER),
        Copy(reason=Reason.NEW),
        Broken(error=error),
    )


@pytest.mark.parametrize(
    ("immutable", "tags", "settled"),
    [
        (True, [{"v1"}, {"v1", "v2"}], True),
        (True, [{"v1"}, {"v2"}], False),
        (True, [{"v1"}, None], False),
        (False, [{"v1"}, {"v1"}], False),
    ],
)
def test_only_an_immutable_tag_at_every_target_is_settled(
    immutable: bool, tags: list[set[str] | None], settled: bool
) -> None:
    repository = LayoutRepository(Path("mirror"), "app")
    targets = [TargetState(repository=repository, tags=None if t is None else frozenset(t)) for t in tags]

    assert is_settled("v1", immutable=immutable, targets=targets) is settled


def test_bytes_that_a_target_names_by_another_algorithm_are_up_to_date() -> None:
    raw = b"a manifest"
    by_sha256, by_sha512 = Digest.of(raw), Digest.of(raw, "sha512")

    same, other, unknown = (
        *decide(by_sha512, [at(by_sha256), at(Digest.of(b"another"))], raw),
        *decide(by_sha512, [at(by_sha256)]),
    )

    assert same == Skip(reason=Reason.UP_TO_DATE, digest=by_sha256)
    assert isinstance(other, Copy)
    assert isinstance(unknown, Copy)
