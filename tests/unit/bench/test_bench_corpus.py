from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from bench import corpus
from bench.answers import Registry
from bench.check import check
from bench.corpus import Shape
from bench.holdings import copy_of

if TYPE_CHECKING:
    from pathlib import Path

    from bench.holdings import Repositories

SHAPE = Shape(repositories=6, tags=24, size=2, big=1, many=30, growth=2)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Registry:
    made = Registry(tmp_path / "target")
    made.empty()
    return made


def tags(state: Repositories) -> dict[tuple[str, str], str]:
    """Return all tags with their digests."""
    return {(name, tag): digest for name, held in state.items() for tag, digest in held.tags.items()}


def test_equal_shapes_give_equal_corpora(tmp_path: Path) -> None:
    both = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        both.append({state: tags(held) for state, held in corpus.ordinary(tmp_path / name, SHAPE).items()})

    assert both[0] == both[1]


def test_every_file_has_the_digest_of_its_name_and_all_together_the_size(source: Path) -> None:
    states = corpus.ordinary(source, SHAPE)

    for file in source.iterdir():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
    layers = {digest for held in states["cold"].values() for digest in held.blobs}
    size = sum((source / digest.removeprefix("sha256:")).stat().st_size for digest in layers)
    assert 2 << 20 <= size < 4 << 20


def test_every_state_is_whole(source: Path) -> None:
    for state in corpus.ordinary(source, SHAPE).values():
        for held in state.values():
            assert all(held.is_whole(digest) for digest in [*held.tags.values(), *held.manifests])


def test_some_tags_move_and_others_are_signed_later(source: Path) -> None:
    states = corpus.ordinary(source, SHAPE)
    cold, moved, signed = (tags(states[name]) for name in ("cold", "moved", "signed"))

    assert len([at for at, digest in cold.items() if moved[at] != digest]) == 1
    assert {at: digest for at, digest in signed.items() if at in moved} == moved
    assert all(tag.startswith("sha256-") for _, tag in signed.keys() - moved.keys())
    assert len(signed.keys() - moved.keys()) == 2 * 2


def test_of_many_versions_the_newest_are_wanted_not_the_last_by_the_alphabet(source: Path) -> None:
    every, wanted = corpus.many(source, SHAPE)

    assert len(every["many/versions"].tags) == 30
    assert list(wanted["many/versions"].tags) == [f"1.2.{number}" for number in range(10)]


def test_growth_makes_different_images_of_one_layer(source: Path) -> None:
    made = corpus.growth(source, 2)

    assert [len(held.manifests) for held in made.values()] == [20, 20]
    assert len({digest for held in made.values() for digest in held.blobs}) == 3


class TestCheck:
    """What is found at targets."""

    def test_a_full_copy_has_everything(self, source: Path, target: Registry) -> None:
        wanted = corpus.ordinary(source, SHAPE)["signed"]
        target.repositories = copy_of(wanted)
        found = check(target, wanted)

        assert (found.tags, found.artifacts, found.cosign) == (24, found.artifacts_wanted, found.cosign_wanted)
        assert found.artifacts_wanted > 10
        assert found.cosign_wanted == 2 * (8 + 2)

    def test_an_empty_target_has_nothing(self, source: Path, target: Registry) -> None:
        found = check(target, corpus.ordinary(source, SHAPE)["cold"])

        assert (found.tags, found.artifacts, found.cosign, found.damaged) == (0, 0, 0, 0)

    def test_a_tag_that_lacks_a_blob_or_points_elsewhere_is_not_there(self, source: Path, target: Registry) -> None:
        wanted = corpus.many(source, SHAPE)[1]
        target.repositories = copy_of(wanted)
        held = target.repositories["many/versions"]
        _shared, own, _config = held.manifests[held.tags["1.2.0"]].blobs
        held.blobs.discard(own)
        held.tags["1.2.9"] = held.tags["1.2.8"]

        assert check(target, wanted).tags == 8

    def test_a_signature_that_no_list_names_is_not_there(self, source: Path, target: Registry) -> None:
        wanted = corpus.ordinary(source, SHAPE)["cold"]
        target.repositories = copy_of(wanted)
        target.referrers = False

        assert check(target, wanted).artifacts == 0

    def test_a_damaged_blob_is_found(self, source: Path, target: Registry) -> None:
        (target.blobs / ("0" * 64)).write_bytes(b"other bytes")
        (target.blobs / hashlib.sha256(b"good").hexdigest()).write_bytes(b"good")

        assert check(target, {}).damaged == 1
