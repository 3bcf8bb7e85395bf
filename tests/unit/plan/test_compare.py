"""One image compared at one target: what is asked of both sides, and what the plan says."""

from __future__ import annotations

import asyncio

import pytest

from memory import Place, put_image, put_index
from ocync.config.model import ArtifactRules
from ocync.lib.errors import AuthError, NetworkError, NotFoundError, ProtocolError
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor
from ocync.oci.platform import Platform
from ocync.plan.attachments import Attachments
from ocync.plan.compare import compare, decide
from ocync.plan.model import Candidate, Copy, Decision, Reason, Skip, TargetState
from ocync.plan.source import SourceImage
from passes import failing, mapping
from scheduling import run

WANTED, OTHER = Digest.of(b"wanted"), Digest.of(b"other")
AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")


class World:
    """A source and two targets of one image."""

    def __init__(self) -> None:
        self.source, self.a, self.b = Place("source"), Place("a"), Place("b")
        self.repository = self.source.repository("app")

    def candidates(
        self,
        *,
        lists: bool = False,
        attachments: bool = False,
        platforms: tuple[Platform, ...] = (),
        immutable: bool = False,
    ) -> list[Candidate]:
        """Return one for each target; with `lists` the targets' tags are known."""
        image = SourceImage(self.repository, "1", platforms=platforms)
        return [
            Candidate(
                mapping=mapping("app"),
                image=image,
                target=TargetState(
                    repository=host.repository("app"),
                    tags=frozenset(host.tagged["app"]) if host.repository("app") and lists else None,
                ),
                attachments=Attachments(self.repository, ArtifactRules()) if attachments else None,
                immutable=immutable,
            )
            for host in (self.a, self.b)
        ]

    def asked(self, host: Place) -> tuple[int, int]:
        """Return the HEADs and GETs of manifests."""
        return host.count("head"), host.count("manifest")


async def test_two_targets_that_are_up_to_date_cost_the_source_one_head() -> None:
    world = World()
    image = put_image(world.repository, "1", b"x")
    for host in (world.a, world.b):
        put_image(host.repository("app"), "1", b"x")

    plans = await asyncio.gather(*map(compare, world.candidates()))

    assert [plan.decision for plan in plans] == [Skip(reason=Reason.UP_TO_DATE, digest=image.digest)] * 2
    assert world.asked(world.source) == world.asked(world.a) == world.asked(world.b) == (1, 0)


async def test_two_targets_that_lack_the_tag_cost_the_source_one_get_and_are_asked_nothing() -> None:
    world = World()
    image = put_image(world.repository, "1", b"x")

    plans = await asyncio.gather(*map(compare, world.candidates(lists=True)))

    assert [(plan.decision, plan.root) for plan in plans] == [(Copy(reason=Reason.NEW), image)] * 2
    assert world.asked(world.source) == (0, 1)
    assert world.asked(world.a) == world.asked(world.b) == (0, 0)


@pytest.mark.parametrize("seed", range(10))
def test_one_target_that_lacks_it_and_one_that_does_not_cost_the_source_no_more_than_a_head_and_a_get(
    seed: int,
) -> None:
    async def play() -> None:
        world = World()
        image = put_image(world.repository, "1", b"x")
        put_image(world.a.repository("app"), "1", b"x")

        first, second = await asyncio.gather(*map(compare, world.candidates(lists=True)))

        assert (first.decision, second.decision) == (
            Skip(reason=Reason.UP_TO_DATE, digest=image.digest),
            Copy(reason=Reason.NEW),
        )
        heads, gets = world.asked(world.source)
        assert (heads <= 1, gets) == (True, 1)

    run(play(), seed=seed)


async def test_a_tag_that_has_moved_is_fetched_by_its_digest() -> None:
    world = World()
    image = put_image(world.repository, "1", b"new")
    old = put_image(world.a.repository("app"), "1", b"old")

    plan = await compare(world.candidates()[0])

    assert (plan.decision, plan.root) == (Copy(reason=Reason.MOVED, previous=old.digest), image)
    assert ("manifest", "app", str(image.digest)) in world.source.calls


async def test_where_something_may_be_attached_the_target_s_own_manifest_tells_what_the_image_consists_of() -> None:
    world = World()
    image = put_index(world.repository, "1", (b"amd",), (b"arm",))
    put_index(world.a.repository("app"), "1", (b"amd",), (b"arm",))

    plan = await compare(world.candidates(attachments=True)[0])

    assert (plan.decision, plan.root) == (Skip(reason=Reason.UP_TO_DATE, digest=image.digest), image)
    assert world.asked(world.source) == (1, 0)
    assert world.asked(world.a) == (0, 1)


async def test_a_manifest_that_the_target_can_t_give_is_taken_from_the_source() -> None:
    world = World()
    image = put_index(world.repository, "1", (b"amd",), (b"arm",))
    put_index(world.a.repository("app"), "1", (b"amd",), (b"arm",))
    world.a.step = failing("manifest", ProtocolError("no image"))  # type: ignore[assignment]

    plain = await compare(world.candidates(attachments=True)[0])
    audited = await compare(world.candidates(attachments=True)[0], audited=True)

    assert (plain.decision, plain.root) == (Skip(reason=Reason.UP_TO_DATE, digest=image.digest), image)
    # That it has it, and not what: an audit brings it again.
    assert (audited.decision, audited.root) == (Copy(reason=Reason.REPAIRED, previous=image.digest), image)


async def test_an_audit_has_the_manifest_of_what_is_up_to_date() -> None:
    world = World()
    image = put_image(world.repository, "1", b"x")
    put_image(world.a.repository("app"), "1", b"x")

    plan = await compare(world.candidates()[0], audited=True)

    assert (plan.decision, plan.root) == (Skip(reason=Reason.UP_TO_DATE, digest=image.digest), image)


async def test_a_rewritten_index_is_compared_by_its_own_digest() -> None:
    world = World()
    index = put_index(world.repository, "1", (b"amd",), (b"arm",), platforms=(AMD, ARM))
    root = (await SourceImage(world.repository, "1", platforms=(ARM,)).root()).manifest
    world.a.repository("app")
    world.a.stored["app"][root.digest] = root
    world.a.tagged["app"]["1"] = root.digest
    put_index(world.b.repository("app"), "1", (b"amd",), (b"arm",), platforms=(AMD, ARM))

    first, second = await asyncio.gather(*map(compare, world.candidates(platforms=(ARM,))))

    assert world.source.count("head") == 0
    assert first.decision == Skip(reason=Reason.UP_TO_DATE, digest=root.digest)
    assert second.decision == Copy(reason=Reason.MOVED, previous=index.digest)
    assert (second.root, second.original, second.resolved.digest) == (root, index.digest, root.digest)


async def test_an_immutable_tag_stays_as_it_is() -> None:
    world = World()
    put_image(world.repository, "1", b"new")
    old = put_image(world.a.repository("app"), "1", b"old")

    plan = await compare(world.candidates(immutable=True)[0])

    assert plan.decision == Skip(reason=Reason.IMMUTABLE_TAG, digest=old.digest)
    assert world.asked(world.source) == (1, 0)


async def test_either_side_that_can_t_be_asked_fails_the_image_at_this_target_alone() -> None:
    world = World()
    put_image(world.repository, "1", b"x")
    for host in (world.a, world.b):
        put_image(host.repository("app"), "1", b"x")
    world.a.step = failing("head", AuthError("no pull"))  # type: ignore[assignment]

    first, second = await asyncio.gather(*map(compare, world.candidates()), return_exceptions=True)

    assert isinstance(first, AuthError)
    assert not isinstance(second, BaseException)
    world.source.step = failing("head", NetworkError("reset"))  # type: ignore[assignment]
    both = await asyncio.gather(*map(compare, world.candidates()), return_exceptions=True)
    assert [type(each) for each in both] == [NetworkError, NetworkError]


async def test_a_tag_that_the_source_lacks_is_not_found() -> None:
    world = World()

    with pytest.raises(NotFoundError):
        await compare(world.candidates()[0])


@pytest.mark.parametrize("turns", range(6))
async def test_a_comparison_that_is_cut_off_leaves_nothing_behind(turns: int) -> None:
    world = World()
    put_image(world.repository, "1", b"x")
    first, second = world.candidates()
    task = asyncio.ensure_future(compare(first))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (await compare(second)).decision == Copy(reason=Reason.NEW)


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
