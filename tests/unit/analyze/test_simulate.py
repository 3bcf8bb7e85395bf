"""The forecast, as a pure function of what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocync.analyze.facts import Arrival, Artifact, Facts, Image, Parts, Remembered, Spot
from ocync.analyze.requests import NONE, Bounds, Kind
from ocync.analyze.simulate import simulate
from ocync.oci.digest import Digest

if TYPE_CHECKING:
    from ocync.analyze.model import Analysis

SIZE = 100
"""Bytes of every blob here."""


def digest(name: str) -> Digest:
    return Digest.of(name.encode())


def forecast(
    *images: tuple[str, str, str],
    listing: dict[str, str],
    filled: str = "",
    source: str = "source",
    mappings: bool = False,
    single_post: bool | None = False,
    present: dict[str, str] | None = None,
    attached: tuple[tuple[str, str, str], ...] = (),
    referrers_api: bool | None = None,
    remembered: Remembered = Remembered(),  # noqa: B008 -- frozen
) -> Analysis:
    """
    Forecast images given as (repository, tag, root), each copied to a repository of the same name at `target`.

    `listing` says what manifests list: `m…` are manifests, anything else blobs. `filled` names repositories that
    hold something; `single_post` is what the target has shown of how it takes blobs. Each repository is a
    mapping's; with `mappings` each image comes of one of its own. `present` is what tags point to at the target.
    `attached` are artifacts as (repository, subject, root).
    """
    spots = {repository: Spot("target", repository) for repository, *_ in (*images, *attached)}

    def arrival(repository: str, tag: str | None = None) -> Arrival:
        there = (present or {}).get(f"{repository}:{tag}")
        whole = Parts()
        if there is not None:
            whole = Parts(
                manifests=(digest(there), *parts[digest(there)].manifests), blobs=parts[digest(there)].blobs
            )
        return Arrival(spot=spots[repository], is_empty=repository not in filled.split(), present=whole)

    parts = {
        digest(name): Parts(
            manifests=tuple(digest(part) for part in text.split() if part[0] == "m"),
            blobs=tuple(digest(part) for part in text.split() if part[0] != "m"),
        )
        for name, text in listing.items()
    }
    repositories = sorted({repository for repository, _, _ in images})
    facts = Facts(
        images=tuple(
            Image(
                mapping=number if mappings else repositories.index(repository),
                tag=tag,
                source=Spot(source, repository),
                root=digest(root),
                arrivals=(arrival(repository, tag),),
                is_referred_to=any(subject == root for _, subject, _ in attached),
            )
            for number, (repository, tag, root) in enumerate(images)
        ),
        parts=parts,
        sizes={blob: SIZE for each in parts.values() for blob in each.blobs},
        asked={place: {} for place in (source, "target")},
        artifacts=tuple(
            Artifact(
                source=Spot(source, repository),
                subject=digest(subject),
                root=digest(root),
                arrivals=(arrival(repository),),
                askers=frozenset({frozenset({spots[repository]})}),
            )
            for repository, subject, root in attached
        ),
        referrers_api={} if referrers_api is None else dict.fromkeys(spots.values(), referrers_api),
        remembered=remembered,
        single_post={} if single_post is None else {"target": single_post},
    )
    return simulate(facts)


def counts(analysis: Analysis, place: str = "target") -> dict[Kind, Bounds]:
    return dict(analysis.requests[place])


IMAGES = {"m1": "base own1", "m2": "base own2", "m3": "base own3"}


@pytest.mark.parametrize(
    ("single_post", "puts"),
    [(True, None), (False, Bounds(3, 3)), (None, Bounds(0, 3))],
    ids=["yes", "no", "unknown"],
)
def test_whether_blobs_take_one_request_or_two_depends_on_what_the_target_has_shown(
    *, single_post: bool | None, puts: Bounds | None
) -> None:
    analysis = forecast(("app", "1", "m1"), ("app", "2", "m2"), listing=IMAGES, single_post=single_post)

    assert counts(analysis)[Kind.BLOB_POST] == Bounds(3, 3)
    assert counts(analysis).get(Kind.BLOB_PUT) == puts


def test_one_repository_gets_each_blob_once() -> None:
    analysis = forecast(("app", "1", "m1"), ("app", "2", "m2"), listing=IMAGES)

    assert counts(analysis) == {
        Kind.BLOB_POST: Bounds(3, 3),
        Kind.BLOB_PUT: Bounds(3, 3),
        Kind.MANIFEST_PUT: Bounds(2, 2),
    }
    assert counts(analysis, "source") == {Kind.BLOB_GET: Bounds(3, 3)}


def test_other_repositories_mount_what_one_gets() -> None:
    analysis = forecast(("a", "1", "m1"), ("b", "1", "m2"), ("c", "1", "m3"), listing=IMAGES)

    (target,) = analysis.targets
    assert (target.sent, target.mounted, target.there) == (Bounds(4, 4), Bounds(2, 2), NONE)
    assert (target.sent_size.high, target.mounted_size.high) == (4 * SIZE, 2 * SIZE)
    assert (target.size_by_image, target.size_by_repository) == (6 * SIZE, 6 * SIZE)


def test_the_leader_of_a_filled_repository_looks_for_its_blobs_first() -> None:
    analysis = forecast(("app", "1", "m1"), listing=IMAGES, filled="app")

    (target,) = analysis.targets
    assert counts(analysis)[Kind.BLOB_HEAD] == Bounds(2, 2)
    assert (target.sent, target.there) == (Bounds(0, 2), Bounds(0, 2))


def test_whether_blobs_are_looked_for_depends_on_who_leads() -> None:
    analysis = forecast(("a", "1", "m1"), ("b", "1", "m1"), listing=IMAGES, filled="a")

    assert counts(analysis)[Kind.BLOB_HEAD] == Bounds(0, 2)
    assert counts(analysis)[Kind.BLOB_MOUNT] == Bounds(2, 2)


def test_children_of_an_index_are_put_by_their_digests_before_it() -> None:
    analysis = forecast(("app", "1", "mi"), ("app", "2", "mi"), listing={"mi": "m1 m2", **IMAGES})

    assert counts(analysis)[Kind.MANIFEST_PUT] == Bounds(2 + 2, 2 + 2)
    assert counts(analysis, "source")[Kind.MANIFEST_GET] == Bounds(2, 2)


def test_children_of_an_index_that_goes_to_a_filled_repository_are_looked_for() -> None:
    analysis = forecast(("app", "1", "mi"), listing={"mi": "m1 m2", **IMAGES}, filled="app")

    assert counts(analysis)[Kind.MANIFEST_HEAD] == Bounds(2, 2)
    assert counts(analysis)[Kind.MANIFEST_PUT] == Bounds(1, 3)
    # A child that is there ends the look at what it lists.
    assert counts(analysis)[Kind.BLOB_HEAD] == Bounds(0, 3)


@pytest.mark.parametrize(
    ("filled", "heads"), [pytest.param("", NONE, id="empty"), pytest.param("app", Bounds(0, 1), id="filled")]
)
def test_a_child_that_has_a_tag_too_may_come_by_its_tag(filled: str, heads: Bounds) -> None:
    analysis = forecast(("app", "1", "mi"), ("app", "2", "m1"), listing={"mi": "m1", **IMAGES}, filled=filled)

    assert counts(analysis)[Kind.MANIFEST_PUT] == Bounds(2, 3)
    assert counts(analysis).get(Kind.MANIFEST_HEAD, NONE) == heads
    assert counts(analysis, "source")[Kind.MANIFEST_GET] == Bounds(0, 1)


def test_an_empty_repository_that_several_mappings_fill_may_look_filled_to_the_later_ones() -> None:
    analysis = forecast(("app", "1", "mi"), ("app", "2", "m2"), listing={"mi": "m1", **IMAGES}, mappings=True)

    assert counts(analysis)[Kind.MANIFEST_HEAD] == Bounds(0, 1)
    assert counts(analysis)[Kind.BLOB_HEAD] == Bounds(0, 3)
    # What it looks for is not there: this is known.
    assert counts(analysis)[Kind.BLOB_PUT] == Bounds(3, 3)


def test_two_mappings_that_write_one_tag_may_find_each_others_work() -> None:
    analysis = forecast(("app", "1", "m1"), ("app", "1", "m1"), listing=IMAGES, mappings=True)

    assert counts(analysis)[Kind.MANIFEST_PUT].high == 2
    assert 1 in counts(analysis)[Kind.MANIFEST_PUT]


def test_within_one_registry_everything_is_mounted() -> None:
    analysis = forecast(("app", "1", "mi"), listing={"mi": "m1 m2", **IMAGES}, source="target", filled="app")

    assert counts(analysis)[Kind.BLOB_MOUNT] == Bounds(0, 3)
    assert Kind.BLOB_PUT not in counts(analysis)
    assert Kind.BLOB_GET not in counts(analysis)
    assert analysis.sources == ()


def test_sharing_counts_blobs_by_images_that_differ_and_by_repositories() -> None:
    analysis = forecast(("a", "1", "m1"), ("a", "latest", "m1"), ("a", "2", "m2"), ("b", "1", "m1"), listing=IMAGES)

    sharing = analysis.sharing
    assert (sharing.images, sharing.repositories, sharing.manifests, sharing.all.blobs) == (3, 2, 2, 3)
    assert (sharing.between_images.blobs, sharing.between_repositories.blobs) == (2, 2)
    first, second = sharing.most
    assert (first.digest, first.images, first.repositories) == (str(digest("base")), 3, 2)
    assert (second.digest, second.images, second.repositories) == (str(digest("own1")), 2, 2)


def test_nothing_to_copy_is_nothing_to_tell() -> None:
    analysis = forecast(listing={})

    assert (analysis.targets, analysis.sources, analysis.sharing.images) == ((), (), 0)


SIGNED = {"mi": "m1 m2", **IMAGES, "msig": "sig empty", "msbom": "sbom empty"}


@pytest.mark.parametrize(
    ("api", "lists"), [(True, NONE), (False, Bounds(1, 1)), (None, Bounds(0, 1))], ids=["api", "no api", "unknown"]
)
def test_an_artifact_takes_its_manifest_and_blobs_and_where_there_is_no_api_a_list(
    *, api: bool | None, lists: Bounds
) -> None:
    analysis = forecast(
        ("app", "1", "m1"),
        listing=SIGNED,
        attached=(("app", "m1", "msig"), ("app", "m1", "msbom")),
        referrers_api=api,
    )

    # The image is put by its digest before its artifacts, and by its tag after them.
    assert counts(analysis)[Kind.MANIFEST_PUT] == Bounds(4, 4) + lists
    # It is looked at before it is written and afterwards.
    assert counts(analysis).get(Kind.MANIFEST_HEAD, NONE) == lists + lists
    assert counts(analysis)[Kind.BLOB_POST] == Bounds(5, 5)
    assert counts(analysis, "source")[Kind.MANIFEST_GET] == Bounds(2, 2)
    (target,) = analysis.targets
    assert (target.images, target.artifacts) == (1, Bounds(2, 2))
    assert analysis.sharing.all.blobs == 2


def test_an_image_is_put_by_its_digest_once_for_all_its_tags_and_only_where_it_is_referred_to_itself() -> None:
    tags = (("app", "1", "mi"), ("app", "2", "mi"), ("app", "3", "mi"))
    itself = forecast(*tags, listing=SIGNED, attached=(("app", "mi", "msig"),), referrers_api=True)
    child = forecast(*tags, listing=SIGNED, attached=(("app", "m1", "msig"),), referrers_api=True)

    assert counts(itself)[Kind.MANIFEST_PUT] == Bounds.exactly(3 + 2 + 1 + 1)
    assert counts(child)[Kind.MANIFEST_PUT] == Bounds.exactly(3 + 2 + 1)


def test_what_a_tag_points_to_now_need_not_be_looked_for() -> None:
    listing = {"mi": "m1 m2", "mold": "m1 m3", **IMAGES}
    analysis = forecast(("app", "1", "mi"), listing=listing, filled="app", present={"app:1": "mold"})

    assert counts(analysis)[Kind.MANIFEST_HEAD] == Bounds(1, 1)
    assert counts(analysis)[Kind.MANIFEST_PUT] == Bounds(1, 2)
    assert counts(analysis)[Kind.BLOB_HEAD] == Bounds(0, 2)


def test_what_one_tag_knows_to_be_there_another_may_look_for_before() -> None:
    analysis = forecast(
        ("app", "1", "m1"), ("app", "2", "m2"), listing=IMAGES, filled="app", present={"app:1": "m3"}
    )

    # `base` is in what tag 1 points to; who needs it for tag 2 may come first.
    assert counts(analysis)[Kind.BLOB_HEAD] == Bounds(2, 3)
    assert counts(analysis)[Kind.BLOB_POST] == Bounds(0, 2)


def test_what_a_repository_of_ours_is_not_remembered_to_hold_is_sent_without_a_look() -> None:
    spot = Spot("target", "app")
    remembered = Remembered(
        owned=frozenset({spot}), blobs={"target": frozenset({digest("base")})}, manifests={spot: frozenset()}
    )
    analysis = forecast(("app", "1", "mi"), listing=SIGNED, filled="app", remembered=remembered)

    assert Kind.MANIFEST_HEAD not in counts(analysis)
    assert counts(analysis)[Kind.MANIFEST_PUT] == Bounds(3, 3)
    assert counts(analysis)[Kind.BLOB_POST] == Bounds(2, 3)
    assert counts(analysis)[Kind.BLOB_HEAD] == Bounds(0, 1)


def test_a_place_is_asked_once_whether_memory_can_be_relied_on() -> None:
    remembered = Remembered(doubtful=frozenset({"target"}), asked=frozenset({"target"}))
    analysis = forecast(("app", "1", "m1"), ("app", "2", "m2"), listing=IMAGES, filled="app", remembered=remembered)

    assert counts(analysis)[Kind.MANIFEST_PUT] == Bounds.exactly(2 + 1)
    assert counts(analysis)[Kind.BLOB_HEAD].low == 0
