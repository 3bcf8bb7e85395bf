"""What is forecast of a pass is what the pass then asks and sends, counted at the registries."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from attached import attach, list_by_tag
from clients import Side
from forecasts import analyzed, asked_by_kind, misses, passed, read, unsure
from ocync.analyze.model import Bounds, RequestKind
from ocync.analyze.rehearsal import analyze
from ocync.config.model import ArtifactRules, RegistryConfig, TagRules
from ocync.lib.shutdown import Stop
from ocync.oci.platform import Platform
from ocync.transfer.events import ImageFinished
from ocync.transfer.staging import Staging
from scripted import Basic, Bearer, ScriptedRegistry, User, build, faults, media
from scripted.storage import StoredManifest
from share import ALL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ocync.config.model import MappingConfig

ROBOT = User(name="robot", password="secret")
ACCOUNT = ("robot", "secret")
IDLE = 20.0
"""Seconds: a busy machine must not make a request that is counted time out and be made again."""
WAYS = {True: "one POST", False: "POST and PUT"}
"""How a registry takes small blobs, by whether one request is enough."""
LAYERS = [build.layer(3_000, seed) for seed in range(4)]


@dataclass(kw_only=True)
class World:
    """A source, two targets, and the mappings of one configuration."""

    source: ScriptedRegistry
    target: ScriptedRegistry
    other: ScriptedRegistry
    folder: Path

    @property
    def registries(self) -> tuple[ScriptedRegistry, ...]:
        return self.source, self.target, self.other

    def mapping(self, repository: str = "team/app", *, both: bool = False) -> MappingConfig:
        targets = (self.target, self.other) if both else (self.target,)
        side = Side(account=ACCOUNT)
        return side.mapping(self.source.url, *(target.url for target in targets), repository=repository)

    def into(self, host: str) -> RegistryConfig:
        return RegistryConfig(name=host, layout=self.folder / host)

    def forget(self) -> None:
        for registry in self.registries:
            registry.requests.clear()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Tokens that are good for one repository at the source, Basic at one target, nothing at the other."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry(auth=Bearer(users=(ROBOT,))))
        target = await stack.enter_async_context(ScriptedRegistry(auth=Basic(users=(ROBOT,))))
        other = await stack.enter_async_context(ScriptedRegistry())
        yield World(source=source, target=target, other=other, folder=tmp_path)


def ten_repositories_that_share_layers(world: World) -> list[MappingConfig]:
    for number in range(10):
        for tag in ("1", "2"):
            own = build.layer(500, 100 + number)
            world.source.seed(f"team/app{number}", tag, build.image([*LAYERS, own], label=f"{number}{tag}"))
    return [world.mapping(f"team/app{number}") for number in range(10)]


def indexes_with_attestations_and_several_tags_each(world: World) -> list[MappingConfig]:
    for number in range(2):
        image = build.multi_arch(seed=number, shared=LAYERS[:1], attestations=True)
        for tag in ("1", "1.2", "latest"):
            world.source.seed(f"team/app{number}", tag, image)
    return [world.mapping("team/app0"), world.mapping("team/app1")]


def children_that_several_indexes_list(world: World) -> list[MappingConfig]:
    children = [build.image([layer], platform=f"linux/p{number}") for number, layer in enumerate(LAYERS)]
    for number in range(1, 4):
        world.source.seed("team/app", str(number), build.index(children[number - 1 : number + 1]))
    world.source.seed("team/app", "deep", build.index([build.index(children), build.index(children[:3])]))
    return [world.mapping()]


def two_targets(world: World) -> list[MappingConfig]:
    for number in range(3):
        world.source.seed(f"team/app{number}", "1", build.multi_arch(seed=number, shared=LAYERS))
    return [world.mapping(f"team/app{number}", both=True) for number in range(3)]


def a_second_target_that_is_new(world: World) -> list[MappingConfig]:
    work = two_targets(world)
    for number in range(3):
        world.target.seed(f"team/app{number}", "1", build.multi_arch(seed=number, shared=LAYERS))
    return work


def one_repository_to_two_of_one_target(world: World) -> list[MappingConfig]:
    world.source.seed("team/app", "1", build.multi_arch(shared=LAYERS))
    mapping = world.mapping()
    return [
        replace(
            mapping, targets=(*mapping.targets, (config := mapping.targets[0][0], config.repository("team/copy")))
        )
    ]


def nothing_changed(world: World) -> list[MappingConfig]:
    work = ten_repositories_that_share_layers(world)
    for number in range(10):
        for tag in ("1", "2"):
            own = build.layer(500, 100 + number)
            world.target.seed(f"team/app{number}", tag, build.image([*LAYERS, own], label=f"{number}{tag}"))
    return work


def new_tags_of_known_layers(world: World) -> list[MappingConfig]:
    work = nothing_changed(world)
    for number in range(3):
        world.source.seed(f"team/app{number}", "3", build.image([*LAYERS], label="new"))
    return work


def moved_tags(world: World) -> list[MappingConfig]:
    work = nothing_changed(world)
    for number in range(3):
        world.source.seed(f"team/app{number}", "2", build.image([*LAYERS[:2], build.layer(700, 7)], label="new"))
    return work


def an_index_that_moved(world: World) -> list[MappingConfig]:
    one, two, three = (build.image([LAYERS[number]], platform=f"linux/p{number}") for number in range(3))
    world.source.seed("team/app", "1", build.index([one, two]))
    world.target.seed("team/app", "1", build.index([one, three]))
    return [world.mapping()]


def an_empty_repository_beside_a_filled_one(world: World) -> list[MappingConfig]:
    for number in range(2):
        world.source.seed(f"team/app{number}", "1", build.image(LAYERS, label=str(number)))
    world.target.seed("team/app0", "old", build.image(LAYERS[:2]))
    return [world.mapping("team/app0"), world.mapping("team/app1")]


def images_of_an_index_that_have_tags_too(world: World) -> list[MappingConfig]:
    image = build.multi_arch(shared=LAYERS)
    world.source.seed("team/app", "1", image)
    amd64 = replace(image, manifests=image.manifests[:1])
    world.source.seed("team/app", "1-amd64", amd64)
    return [world.mapping()]


def platforms(world: World) -> list[MappingConfig]:
    many = ("linux/amd64", "linux/arm64", "linux/s390x")
    world.source.seed("team/app", "1", build.multi_arch(many, attestations=True))
    world.source.seed("team/app", "2", build.image())
    world.target.seed("team/app", "2", build.image())
    return [replace(world.mapping(), platforms=(Platform("linux", "arm64", ""),))]


def platforms_that_are_there(world: World) -> list[MappingConfig]:
    for tag, wanted in (("1", "linux/amd64"), ("2", "linux/arm64")):
        image = build.multi_arch((wanted,))
        world.source.seed("team/app", tag, image)
        world.target.seed("team/app", tag, image)
    both = (Platform("linux", "arm64", ""), Platform("linux", "amd64", ""))
    return [replace(world.mapping(), platforms=both)]


def tags_that_are_named(world: World) -> list[MappingConfig]:
    for tag in ("1", "2", "3"):
        world.source.seed("team/app", tag, build.image(LAYERS, label=tag))
    return [replace(world.mapping(), tags=TagRules(glob=("1", "3"), include=("gone",)))]


def tags_that_never_change(world: World) -> list[MappingConfig]:
    for tag in ("1", "2", "3"):
        world.source.seed("team/app", tag, build.image(LAYERS, label=tag))
    for number in range(5):
        world.target.seed("team/app", str(number), build.image(LAYERS, label=str(number)))
    world.target.behaviour.page_size = 2
    return [replace(world.mapping(), tags=TagRules(immutable_tags="*"))]


def lists_of_many_pages(world: World) -> list[MappingConfig]:
    world.source.behaviour.page_size = 3
    for number in range(10):
        world.source.seed("team/app", f"v{number}", build.image(LAYERS))
    return [world.mapping()]


def signatures_by_tag(world: World) -> list[MappingConfig]:
    image = build.multi_arch(shared=LAYERS)
    world.source.seed("team/app", "1", image)
    for signed in (image, *(build.image([layer]) for layer in LAYERS[:1])):
        world.source.seed("team/app", build.cosign_tag(signed.digest), build.cosign_signature(signed))
    world.source.seed("team/app", build.cosign_tag(image.manifests[0].digest, "att"), build.image(label="att"))
    return [world.mapping()]


def signatures_of_what_is_there(world: World) -> list[MappingConfig]:
    work = signatures_by_tag(world)
    world.target.seed("team/app", "1", build.multi_arch(shared=LAYERS))
    return work


SIGNATURE, SBOM = "application/vnd.example.signature", "application/vnd.example.sbom"


def signed(world: World, *, late: bool = False) -> list[MappingConfig]:
    """Two repositories: an index with two tags, an SBOM that is signed, a child that is signed by itself."""
    for number in range(2):
        repository = f"team/app{number}"
        image = build.multi_arch(seed=number, shared=LAYERS)
        child = replace(image, manifests=image.manifests[:1])
        sbom = build.artifact(SBOM, [b"%d" % number], subject=image)
        for registry in (world.source, world.target) if late else (world.source,):
            for tag in ("1", "1.2"):
                registry.seed(repository, tag, image)
            attach(registry, repository, image.digest, sbom)
        attach(world.source, repository, sbom.digest, build.artifact(SIGNATURE, [b"of an SBOM"], subject=sbom))
        attach(world.source, repository, child.digest, build.artifact(SIGNATURE, [b"of a child"], subject=child))
        world.source.seed(repository, build.cosign_tag(image.digest), build.cosign_signature(image))
    return [world.mapping(f"team/app{number}") for number in range(2)]


def late_signatures(world: World) -> list[MappingConfig]:
    return signed(world, late=True)


def late_signatures_at_a_target_without_api(world: World) -> list[MappingConfig]:
    world.target.behaviour.referrers = False
    return signed(world, late=True)


def signed_for_a_target_that_has_more_tags_than_a_page(world: World) -> list[MappingConfig]:
    work = signed(world, late=True)
    for number in range(5):
        world.target.seed("team/app0", f"old{number}", build.image())
    world.target.behaviour.page_size = 3
    return work


def only_children_are_signed(world: World) -> list[MappingConfig]:
    image = build.multi_arch(shared=LAYERS)
    world.source.seed("team/app", "1", image)
    for number in range(2):
        child = replace(image, manifests=image.manifests[number : number + 1])
        attach(world.source, "team/app", child.digest, build.artifact(SIGNATURE, subject=child))
    return [world.mapping()]


def artifacts_of_two_targets_of_which_one_is_new(world: World) -> list[MappingConfig]:
    return [replace(world.mapping(each.name, both=True)) for each in signed(world, late=True)]


def artifacts_that_only_a_list_attaches(world: World) -> list[MappingConfig]:
    """A registry that has got the API since: its list still names what refers to nothing by itself."""
    image = build.image(LAYERS)
    world.source.seed("team/app", "1", image)
    sbom = build.artifact(SBOM)
    attach(world.source, "team/app", image.digest, sbom)
    list_by_tag(world.source, "team/app", image.digest, sbom)
    return [world.mapping()]


def artifacts_that_are_indexes(world: World) -> list[MappingConfig]:
    image = build.image(LAYERS)
    world.source.seed("team/app", "1", image)
    many = build.index([build.artifact(SBOM, [b"%d" % number]) for number in range(3)], subject=image)
    attach(world.source, "team/app", image.digest, many)
    return [world.mapping()]


def without_artifacts(world: World) -> list[MappingConfig]:
    return [replace(mapping, artifacts=ArtifactRules(enabled=False)) for mapping in signed(world)]


def signed_for_a_target_that_may_lack_the_api(world: World) -> list[MappingConfig]:
    world.target.behaviour.referrers = False
    return signed(world)


def signed_at_a_source_without_api(world: World) -> list[MappingConfig]:
    world.source.behaviour.referrers = False
    return late_signatures(world)


def two_mappings_into_one_repository(world: World) -> list[MappingConfig]:
    work = []
    for number in range(2):
        world.source.seed(f"team/app{number}", f"v{number}", build.multi_arch(shared=LAYERS, seed=number))
        mapping = world.mapping(f"team/app{number}")
        work.append(replace(mapping, targets=((config := mapping.targets[0][0], config.repository("all/apps")),)))
    return work


def from_a_folder_into_a_folder(world: World) -> list[MappingConfig]:
    for number in range(2):
        world.source.seed(f"team/app{number}", "1", build.multi_arch(shared=LAYERS, seed=number))
    mappings = [world.mapping(f"team/app{number}") for number in range(2)]
    return [
        replace(mapping, targets=((disk := world.into("disk"), disk.repository(mapping.name)), *mapping.targets))
        for mapping in mappings
    ]


def a_registry_into_itself(world: World) -> list[MappingConfig]:
    for number in range(2):
        world.other.seed(f"team/app{number}", "1", build.multi_arch(shared=LAYERS, seed=number))
    side = Side()
    here = side.config(world.other.url)
    return [
        replace(
            side.mapping(world.other.url, repository=f"team/app{number}"),
            targets=((here, here.repository(f"mirror/app{number}")),),
        )
        for number in range(2)
    ]


EXACT = [
    ten_repositories_that_share_layers,
    indexes_with_attestations_and_several_tags_each,
    children_that_several_indexes_list,
    two_targets,
    one_repository_to_two_of_one_target,
    nothing_changed,
    new_tags_of_known_layers,
    moved_tags,
    an_index_that_moved,
    platforms,
    platforms_that_are_there,
    tags_that_are_named,
    tags_that_never_change,
    lists_of_many_pages,
    signatures_by_tag,
    signatures_of_what_is_there,
    signed,
    only_children_are_signed,
    late_signatures,
    signed_for_a_target_that_has_more_tags_than_a_page,
    signed_for_a_target_that_may_lack_the_api,
    artifacts_that_are_indexes,
    artifacts_that_only_a_list_attaches,
    two_mappings_into_one_repository,
    from_a_folder_into_a_folder,
    a_registry_into_itself,
    without_artifacts,
]
UNSURE = [
    # Who comes first asks for the manifest; if that is the target which has the tag, it asks by HEAD before.
    (a_second_target_that_is_new, {RequestKind.MANIFEST_HEAD}),
    (artifacts_of_two_targets_of_which_one_is_new, {RequestKind.MANIFEST_HEAD}),
    # Nothing is looked for where the empty one leads, and all is sent.
    (
        an_empty_repository_beside_a_filled_one,
        {RequestKind.BLOB_HEAD, RequestKind.BLOB_GET, RequestKind.BLOB_POST, RequestKind.BLOB_PUT},
    ),
    (images_of_an_index_that_have_tags_too, {RequestKind.MANIFEST_GET, RequestKind.MANIFEST_PUT}),
    # What is asked before the first answer tells that there is no API comes on top.
    (late_signatures_at_a_target_without_api, {RequestKind.REFERRERS}),
    (signed_at_a_source_without_api, {RequestKind.REFERRERS}),
]


# Each scenario in one of both ways, by turns, and in both with scripts/test-long.
@pytest.mark.parametrize(
    ("scenario", "unknown", "single_post"),
    [
        pytest.param(scenario, unknown, is_one, id=f"{scenario.__name__}-{WAYS[is_one]}")
        for number, (scenario, unknown) in enumerate([*((each, set[RequestKind]()) for each in EXACT), *UNSURE])
        for is_one in ((True, False) if ALL else (number % 2 == 0,))
    ],
)
async def test_a_pass_asks_what_was_forecast(
    world: World,
    scenario: Callable[[World], list[MappingConfig]],
    unknown: set[RequestKind],
    tmp_path: Path,
    *,
    single_post: bool,
) -> None:
    for registry in world.registries:
        registry.behaviour.single_post = single_post
    work = scenario(world)
    analyses = []
    # Nobody knows before the first pass how a registry takes blobs; later ones do.
    for shown in (None, single_post):
        async with Side(account=ACCOUNT, idle=IDLE) as side:
            side.repositories.begin_at(lambda _host: {}, lambda _host, shown=shown: shown)
            analyses.append(await analyzed(side, work))
    world.forget()

    async with Side(account=ACCOUNT, idle=IDLE, staging=Staging(tmp_path, None)) as side:
        results = await passed(side, work)

    first, later = analyses
    assert misses(first, world.registries, results) == misses(later, world.registries, results) == []
    assert unsure(first) <= unknown | {RequestKind.BLOB_PUT}
    assert unsure(later) <= unknown


@pytest.mark.parametrize("scenario", EXACT, ids=lambda value: value.__name__)
async def test_an_analysis_writes_nothing_reads_no_blob_and_no_manifest_twice(
    world: World, scenario: Callable[[World], list[MappingConfig]]
) -> None:
    work = scenario(world)

    async with Side(account=ACCOUNT, idle=IDLE) as side:
        await analyzed(side, work)

    for registry in world.registries:
        assert registry.count("POST|PUT|PATCH|DELETE") == 0
        assert registry.count("GET", "/blobs/") == 0
        # A blob may be looked for, as the pass would; each question is put once.
        asked = [r.target for r in registry.requests.matching("*", "/(blobs|manifests)/sha256:") if r.status == 200]
        assert len(asked) == len(set(asked))


@pytest.mark.parametrize("scenario", [ten_repositories_that_share_layers, two_targets, lists_of_many_pages])
async def test_a_cold_forecast_is_about_targets_as_they_were_before_the_first_pass(
    world: World, scenario: Callable[[World], list[MappingConfig]]
) -> None:
    work = scenario(world)
    # One registry takes a blob by one POST, the other does not, and this side has seen both.
    world.other.behaviour.single_post = False
    async with Side(account=ACCOUNT, idle=IDLE) as side:
        results = await passed(side, work)
        asked = {registry.host: asked_by_kind(registry) for registry in world.registries}
        world.forget()
        analysis = await analyzed(side, work, cold=True)

    assert {host: kinds for host, kinds in asked.items() if kinds} == {
        host: {kind: bounds.high for kind, bounds in kinds.items()} for host, kinds in analysis.requests.items()
    }
    assert unsure(analysis) == set()
    assert sum(r.bytes_transferred for r in results) == sum(target.sent_size.high for target in analysis.targets)
    assert len(world.target.requests) == len(world.other.requests) == 0


@pytest.mark.parametrize("api", [True, False], ids=["with the API", "without"])
async def test_a_cold_forecast_of_signed_images_holds_whether_or_not_the_target_keeps_account_of_them(
    world: World, *, api: bool
) -> None:
    world.target.behaviour.referrers = api
    work = signed(world)
    async with Side(account=ACCOUNT, idle=IDLE) as side:
        analysis = await analyzed(side, work, cold=True)
    assert len(world.target.requests) == 0
    world.forget()

    async with Side(account=ACCOUNT, idle=IDLE) as side:
        results = await passed(side, work)

    assert misses(analysis, world.registries, results) == []
    # Who keeps no account of them has lists put, which are looked at.
    assert unsure(analysis) == {RequestKind.MANIFEST_HEAD, RequestKind.MANIFEST_PUT, RequestKind.BLOB_PUT}


async def test_a_forecast_tells_what_mounting_saves(world: World) -> None:
    work = ten_repositories_that_share_layers(world)

    async with Side(account=ACCOUNT, idle=IDLE) as side:
        analysis = await analyzed(side, work)

    (target,) = analysis.targets
    shared = sum(layer.size for layer in LAYERS)
    assert target.mounted == Bounds.exactly(9 * len(LAYERS))
    assert target.mounted_size == Bounds.exactly(9 * shared)
    assert target.size_by_repository == target.sent_size.high + target.mounted_size.high
    assert (analysis.sharing.between_repositories.blobs, analysis.sharing.between_repositories.size) == (4, shared)
    assert [blob.images for blob in analysis.sharing.most][:4] == [20] * 4
    assert {blob.repositories for blob in analysis.sharing.most[:4]} == {10}


async def test_what_fails_fails_alone_and_the_others_are_forecast(world: World) -> None:
    work = ten_repositories_that_share_layers(world)
    del world.source.repositories["team/app3"]
    gone = build.multi_arch(seed=5)
    world.source.seed("team/app4", "3", gone)
    del world.source.repository("team/app4").manifests[gone.manifests[0].digest]

    async with Side(account=ACCOUNT, idle=IDLE) as side:
        found = await read(side, work)

    failed = {result.target.partition("/")[2] for result in found.results if result.error is not None}
    assert failed == {"team/app3", "team/app4:3"}
    assert [target.images for target in found.analysis.targets] == [18]
    assert found.is_whole


async def test_an_artifact_of_another_size_than_a_list_tells_is_counted_all_the_same(world: World) -> None:
    image = build.image(LAYERS)
    artifact = build.artifact("application/spdx+json", [b"sbom"], subject=image)
    entry = {**artifact.descriptor, "size": artifact.descriptor["size"] + 5}
    body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [entry]}
    index = StoredManifest.of(json.dumps(body).encode(), media.OCI_INDEX)
    world.source.behaviour.referrers = False
    world.source.seed("team/app", "1", image)
    world.source.seed("team/app", None, artifact)
    world.source.seed("team/app", build.fallback_tag(image.digest), build.Image(manifests=(index,), blobs={}))

    async with Side(account=ACCOUNT, idle=IDLE) as side:
        found = await read(side, [world.mapping()])

    (result,) = found.results
    assert result.error is None
    assert [target.artifacts for target in found.analysis.targets] == [Bounds.exactly(1)]


async def test_an_image_that_is_nested_without_end_is_refused(world: World) -> None:
    deep = build.image([])
    for _ in range(150):
        deep = build.index([deep])
    world.source.seed("team/app", "deep", deep)

    async with Side(account=ACCOUNT, idle=IDLE) as side:
        found = await read(side, [world.mapping()])

    (result,) = found.results
    assert result.error is not None
    assert "nested more than 50 deep" in result.error.message
    assert world.source.count("GET", "/manifests/", status=200) <= 102


async def test_a_stop_ends_an_analysis_at_once_with_what_was_read(world: World) -> None:
    work = ten_repositories_that_share_layers(world)
    world.source.on("GET", "/team/app9/manifests/", respond=faults.stall(20))
    async with Side(account=ACCOUNT, idle=IDLE, stop=Stop(grace=0)) as side:
        finished = 0

        def count(event: object) -> None:
            nonlocal finished
            finished += isinstance(event, ImageFinished)
            if finished == 18:
                side.stop.request("a test")

        async with asyncio.timeout(10):
            found = await analyze(work, repositories=side.repositories, at_once=10, stop=side.stop, sink=count)

    assert not found.is_whole
    assert len(found.results) == 18
    assert [target.images for target in found.analysis.targets] == [18]
