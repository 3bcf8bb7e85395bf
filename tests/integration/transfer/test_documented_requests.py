"""The formulas of docs/requests.md, counted in passes between registries."""

from __future__ import annotations

import ast
import asyncio
import operator
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attached import attach
from clients import Side
from forecasts import asked_by_kind
from ocync.analyze.model import RequestKind
from ocync.cache.store import CacheStore, StateLocation
from ocync.config.model import ArtifactRules, TagRules
from ocync.oci.platform import Platform
from scripted import Basic, Bearer, ScriptedRegistry, User, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from ocync.config.model import MappingConfig
    from scripted.build import Image

pytestmark = pytest.mark.skips_waits

PAGE = (Path(__file__).parents[3] / "docs" / "requests.md").read_text(encoding="utf-8")
ROBOT = User(name="robot", password="secret")
ACCOUNT = ("robot", "secret")
IDLE = 20.0
"""Seconds: a busy machine must not make a request that is counted time out and be made again."""
LARGE = 1024 * 1024
SHARED = [build.layer(2_000, 0), build.layer(2_000, 1), build.big_layer(LARGE, 2)]
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


# The page


def sections() -> dict[str, list[list[str]]]:
    """Return the tables of kinds of requests, by the heading that they stand under: the cells of each row."""
    tables = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.M)
        ]
        if rows and rows[0][0] == "kind" and rows[0][1] != "request":
            tables[heading] = rows
    return tables


SECTIONS = sections()


def formula(cell: str, numbers: Mapping[str, int]) -> int:
    """Compute a formula of names, numbers, `+`, `-` and `*`; a name that is not known is a KeyError."""

    def value(node: ast.expr) -> int:
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return OPERATORS[type(op)](value(left), value(right))
            case ast.Name(id=name):
                return numbers[name]
            case ast.Constant(value=int(number)):
                return number
        raise ValueError(f"not a formula: {cell}")

    return value(ast.parse(cell.strip("`"), mode="eval").body)


def bounds(cell: str, numbers: Mapping[str, int]) -> range:
    """Compute the numbers that a cell allows: those from one formula `to` another one, or just one."""
    formulas = [formula(part, numbers) for part in cell.split(" to ")]
    return range(formulas[0], formulas[-1] + 1)


def misses(asked: Mapping[RequestKind, int], heading: str, column: int, numbers: Mapping[str, int]) -> list[str]:
    """Return what was asked more or less often than a table says for a world of these numbers."""
    cells = {RequestKind(row[0].strip("`")): row[column] for row in SECTIONS[heading][2:]}
    allowed = {kind: bounds(cells.get(kind, "0"), numbers) for kind in RequestKind}
    return [
        f"{SECTIONS[heading][0][column]}: {asked.get(kind, 0)} {kind}, and not {cells.get(kind, '0')}: {count}"
        for kind, count in allowed.items()
        if asked.get(kind, 0) not in count
    ]


# The worlds


@dataclass(kw_only=True)
class World:
    """Two sides, and what of them the formulas speak of."""

    source: ScriptedRegistry
    target: ScriptedRegistry
    second: ScriptedRegistry
    work: list[MappingConfig] = field(default_factory=list)
    copied: dict[str, list[Image]] = field(default_factory=dict)
    """What is to be copied, by repository: images, and what is attached to them."""
    selected: dict[str, set[str]] = field(default_factory=dict)
    """The manifests of all images, by repository."""
    attached: dict[str, dict[str, str]] = field(default_factory=dict)
    """Artifacts and what they refer to, by repository."""
    tags: int = 0
    inner: int = 0
    """Indexes that are listed by indexes, each of which one tag leads to."""
    by_tag: int = 0

    def put(self, repository: str, tag: str, image: Image, *, copied: bool = True) -> None:
        """Put an image at the source; `copied` says that it has to go to the target."""
        self.source.seed(repository, tag, image)
        self.tags += 1
        self.selected.setdefault(repository, set()).update(manifest.digest for manifest in image.manifests)
        if copied:
            self.copied.setdefault(repository, []).append(image)

    def attach(self, repository: str, subject: Image, artifact: Image, *, late: bool = True) -> None:
        """Attach something at the source; what is not late is at the target too."""
        attach(self.source, repository, subject.digest, artifact)
        self.attached.setdefault(repository, {})[artifact.digest] = subject.digest
        if late:
            self.copied.setdefault(repository, []).append(artifact)
        else:
            attach(self.target, repository, subject.digest, artifact)

    def sign_by_tag(self, repository: str, image: Image, *, late: bool = True) -> None:
        """Sign an image as cosign did it before referrers."""
        tag, signature = build.cosign_tag(image.digest), build.cosign_signature(image)
        self.source.seed(repository, tag, signature)
        self.by_tag += 1
        if late:
            self.copied.setdefault(repository, []).append(signature)
        else:
            self.target.seed(repository, tag, signature)

    def map(self, repository: str, *, second: bool = False, **changes: object) -> None:
        """Map a repository to one of the same name."""
        targets = [self.target.url, self.second.url] if second else [self.target.url]
        mapping = Side(account=ACCOUNT).mapping(self.source.url, *targets, repository=repository)
        self.work.append(replace(mapping, **changes))  # type: ignore[arg-type]

    def numbers(self, **known: int) -> dict[str, int]:
        """Return the numbers of what is copied into empty repositories; others have to be given."""
        below = [{m.digest for image in images for m in image.manifests[:-1]} for images in self.copied.values()]
        needed = [{blob for image in images for blob in image.blobs} for images in self.copied.values()]
        blobs = set().union(*needed)
        sizes = {
            digest: content.size
            for images in self.copied.values()
            for image in images
            for digest, content in image.blobs.items()
        }
        large = [sum(sizes[blob] >= LARGE for blob in blobs) for blobs in (blobs, *needed)]
        return {
            "mappings": len(self.work),
            "pages": len(self.work),
            "tags": self.tags,
            "digests": sum(map(len, self.selected.values())),
            "artifacts": sum(map(len, self.attached.values())),
            "immutable": 0,
            "subjects": sum(len(set(refers.values())) for refers in self.attached.values()),
            "by_tag": self.by_tag,
            "children": sum(map(len, below)),
            "inner": self.inner,
            "blobs": len(blobs),
            "mounts": sum(map(len, needed)) - len(blobs),
            "large": large[0],
            "large_mounts": sum(large[1:]) - large[0],
            "twice": int(not self.target.behaviour.single_post),
        } | known


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(ScriptedRegistry(auth=Bearer(users=(ROBOT,))))
        target = await stack.enter_async_context(ScriptedRegistry(auth=Basic(users=(ROBOT,))))
        second = await stack.enter_async_context(ScriptedRegistry())
        yield World(source=source, target=target, second=second)


def cold(world: World, *, second: bool = False) -> dict[str, int]:
    """Ten repositories: indexes, some in indexes, tags of equal digests, layers that all of them share."""
    for number in range(10):
        repository = f"team/app{number}"
        image = build.multi_arch(seed=number, shared=SHARED, attestations=number % 2 == 0)
        for tag in ("1", "1.2", "latest"):
            world.put(repository, tag, image)
        world.put(repository, "0", build.image(SHARED[:2], label=str(number)))
        if number < 2:
            world.put(repository, "nested", build.index([build.multi_arch(seed=50 + number, shared=SHARED)]))
            world.inner += 1
        world.map(repository, second=second)
    return world.numbers()


def two_empty_targets(world: World) -> dict[str, int]:
    return cold(world, second=True)


def nothing_changed(world: World) -> dict[str, int]:
    numbers = cold(world)
    for repository in world.source.repositories:
        for tag, digest in world.source.repository(repository).tags.items():
            seed_with(world.target, repository, tag, world, digest)
    return numbers


def seed_with(registry: ScriptedRegistry, repository: str, tag: str, world: World, digest: str) -> None:
    (image, *_) = [image for image in world.copied[repository] if image.digest == digest]
    registry.seed(repository, tag, image)


def moved_tags(world: World) -> dict[str, int]:
    """Each of three repositories has a tag that stays, an image that moved, an index of which one child moved."""
    for number in range(3):
        repository = f"team/app{number}"
        there = build.layer(100, 50 + number)
        stays = build.image([*SHARED, there], label=f"stays {number}")
        kept, old, new = (
            build.image(
                [build.layer(700, 10 * number + seed), *([there] if seed == 3 else [])], platform=f"linux/p{seed}"
            )
            for seed in (1, 2, 3)
        )
        # An index within the index, which is there.
        inner = build.index([build.image([there], platform="linux/p5")])
        world.put(repository, "stays", stays, copied=False)
        world.target.seed(repository, "stays", stays)
        world.put(repository, "image", build.image([*SHARED, build.layer(300, 90)], label=f"moved {number}"))
        world.target.seed(repository, "image", build.image(SHARED, label=f"before {number}"))
        for tag in ("index", "index2"):
            world.put(repository, tag, build.index([kept, inner, new]))
            world.target.seed(repository, tag, build.index([kept, inner, old]))
        world.map(repository)
    # Of each repository: the config of the image, the config and the layer of the child that is missing. All need
    # one new layer.
    # Nothing suggests that the configs and the layer that all need are there.
    return world.numbers(moved=9, missing=3 * 1, guessed=3, sent=3 * 3 + 1, unseen=3 * 2 + 1)


def remembered(world: World) -> dict[str, int]:
    """Three repositories that a first pass has filled; one of them holds a layer that the others lack."""
    for number in range(3):
        repository = f"team/app{number}"
        only = [build.layer(900, 99)] if number == 0 else []
        world.put(
            repository, "stays", build.image([*SHARED, build.layer(100, 50 + number), *only], label=repository)
        )
        world.put(repository, "image", build.image(SHARED, label=f"before {number}"))
        kept, old, other = (
            build.image([build.layer(700, 10 * number + seed)], platform=f"linux/p{seed}") for seed in (1, 2, 4)
        )
        world.put(repository, "index", build.index([kept, old]))
        world.put(repository, "other", build.index([other]))
        world.map(repository)
    return world.numbers()


def moved_since(world: World) -> dict[str, int]:
    """Two tags of each have moved: to layers that are new, there, and held by another repository."""
    world.tags, world.copied, before = 0, {}, world.selected
    world.selected = {}
    for number in range(3):
        repository = f"team/app{number}"
        there, borrowed = build.layer(100, 50 + number), [build.layer(900, 99)] if number else []
        layers = [*SHARED, there, build.layer(300, 90), *borrowed]
        world.put(repository, "image", build.image(layers, label=f"moved {number}"))
        kept, new, other = (
            build.image([build.layer(700, 10 * number + seed)], platform=f"linux/p{seed}") for seed in (1, 3, 4)
        )
        world.put(repository, "index", build.index([kept, new, other]))
        stays = {build.index([other]).digest, world.source.resolve(repository, "stays") or ""}
        world.selected[repository] |= before[repository] & stays
    # Of each repository: the config of the image, the config and the layer of the child that is missing.
    # The other child is brought again, for the index did not list it before; memory knows of its blobs.
    return world.numbers(tags=4 * 3, moved=2 * 3, missing=6, guessed=6, sent=3 * 3 + 1, unseen=7, borrowed=1)


def new_tags(world: World) -> dict[str, int]:
    """Two repositories hold an index; a new one has one of its children, one that is new, and the shared layers."""
    for number in range(2):
        repository = f"team/app{number}"
        there, new = (build.image(SHARED, platform=f"linux/p{seed}", label=str(number)) for seed in (1, 2))
        world.put(repository, "1", build.index([there]), copied=False)
        world.target.seed(repository, "1", build.index([there]))
        world.put(repository, "2", build.index([there, new]))
        world.map(repository)
    return world.numbers(new=2, missing=2, sent=2, unseen=2)


def a_second_target(world: World) -> dict[str, int]:
    """The first target is up to date, the second one is empty."""
    numbers = nothing_changed(world)
    world.work.clear()
    for repository in world.copied:
        world.map(repository, second=True)
    # The table is about the one that is new.
    world.target, world.second = world.second, world.target
    return numbers


def platforms(world: World) -> dict[str, int]:
    """Of three platforms one is kept, with its attestation; and an image that is no index."""
    many = ("linux/amd64", "linux/arm64", "linux/s390x")
    for number in range(2):
        repository = f"team/app{number}"
        world.put(repository, "1", build.multi_arch(many, seed=number, shared=SHARED, attestations=True))
        world.put(repository, "2", build.image(SHARED, label=str(number)))
        world.map(repository, platforms=(Platform("linux", "arm64", ""),))
    # The child has a config and a layer of its own, its attestation a config and a statement.
    own = 2 + 2 + 1
    # The index itself is asked about as the source has it.
    return world.numbers(digests=2 * (3 + 1), children=2 * 2, blobs=2 * own + len(SHARED), mounts=len(SHARED))


def new_immutable_tags(world: World) -> dict[str, int]:
    numbers = cold(world)
    world.work = [replace(mapping, tags=TagRules(immutable_tags="*")) for mapping in world.work]
    return numbers | {"immutable": world.tags}


def named_tags(world: World) -> dict[str, int]:
    for tag in ("1", "2"):
        world.put("team/app", tag, build.multi_arch(seed=int(tag), shared=SHARED))
    world.source.seed("team/app", "3", build.image())
    world.map("team/app", tags=TagRules(glob=("1", "2")))
    return world.numbers()


def immutable_tags(world: World) -> dict[str, int]:
    """Seven tags in pages of three at the source, nine in pages of two at the target."""
    for number in range(9):
        if number < 7:
            world.put("team/app", str(number), build.image(label=str(number)), copied=False)
        world.target.seed("team/app", str(number), build.image(label=str(number)))
    world.source.behaviour.page_size, world.target.behaviour.page_size = 3, 2
    world.map("team/app", tags=TagRules(immutable_tags="*"))
    return world.numbers(pages=3, target_pages=5)


def one_registry(world: World) -> dict[str, int]:
    numbers = cold(world)
    here = world.work[0].source
    world.work = [
        replace(mapping, targets=((here, here.repository(f"mirror/{mapping.name}")),)) for mapping in world.work
    ]
    return numbers


def no_mounts(world: World) -> dict[str, int]:
    world.target.behaviour.mount = False
    return cold(world)


SIGNATURE, SBOM = "application/vnd.example.signature", "application/vnd.example.sbom"


def signed_images(world: World) -> dict[str, int]:
    """Three repositories: an index with two tags, its child signed by itself, and SBOMs that are signed too."""
    for number in range(3):
        repository = f"team/app{number}"
        image = build.multi_arch(seed=number, shared=SHARED)
        for tag in ("1", "latest"):
            world.put(repository, tag, image)
        world.put(repository, "0", build.image(SHARED, label=str(number)))
        child = replace(image, manifests=image.manifests[:1])
        sbom = build.artifact(SBOM, [b"of the index"], subject=image)
        world.attach(repository, image, sbom)
        world.attach(repository, image, build.artifact(SIGNATURE, [b"index"], subject=image))
        world.attach(repository, child, build.artifact(SIGNATURE, [b"child"], subject=child))
        world.attach(repository, sbom, build.artifact(SIGNATURE, [b"sbom"], subject=sbom))
        world.sign_by_tag(repository, image)
        world.map(repository)
    return world.numbers(signed=3)


def signed_images_that_are_there(world: World) -> dict[str, int]:
    """The target has three signed images under tags that the source lacks by now."""
    for number in range(3):
        repository = f"team/app{number}"
        image = build.multi_arch(seed=number, shared=SHARED)
        world.put(repository, "new", image)
        world.target.seed(repository, "old", image)
        sbom = build.artifact(SBOM, [b"%d" % number], subject=image)
        signature = build.artifact(SIGNATURE, [b"sbom"], subject=sbom)
        for subject, artifact in ((image, sbom), (sbom, signature)):
            world.attach(repository, subject, artifact, late=False)
            world.copied[repository].append(artifact)
        world.sign_by_tag(repository, image, late=False)
        world.copied[repository].append(build.cosign_signature(image))
        world.map(repository)
    return world.numbers(new=3, signed=3, missing=0, sent=0, unseen=0)


def late_signatures(world: World) -> dict[str, int]:
    """Of each of three images the SBOM is there; its signature, and one of the SBOM, are late."""
    for number in range(3):
        repository = f"team/app{number}"
        image = build.image(SHARED, label=str(number))
        world.put(repository, "1", image, copied=False)
        world.target.seed(repository, "1", image)
        sbom = build.artifact(SBOM, [b"%d" % number], subject=image)
        world.attach(repository, image, sbom, late=False)
        world.attach(repository, sbom, build.artifact(SIGNATURE, [b"of an SBOM"], subject=sbom))
        world.attach(repository, image, build.artifact(SIGNATURE, [b"%d" % (7 + number)], subject=image))
        world.sign_by_tag(repository, image, late=False)
        world.map(repository)
    # All have the same signature of their SBOMs, and each one of its own; the empty config is in all of them.
    return world.numbers(late=6, sent=1 + 3, unseen=1 + 3)


def source_without_api(world: World) -> dict[str, int]:
    world.source.behaviour.referrers = False
    for number in range(3):
        sign_single(world, f"team/app{number}", build.image(SHARED, label=str(number)))
    return world.numbers(signed=3, lists=3 * 2)


def sign_single(world: World, repository: str, image: Image) -> None:
    """Put an image of one manifest with an SBOM, a signature, and a signature of the SBOM."""
    world.put(repository, "1", image)
    sbom = build.artifact(SBOM, [image.digest.encode()], subject=image)
    world.attach(repository, image, sbom)
    world.attach(repository, image, build.artifact(SIGNATURE, [b"image"], subject=image))
    world.attach(repository, sbom, build.artifact(SIGNATURE, [b"sbom"], subject=sbom))
    world.map(repository)


def target_without_api(world: World) -> dict[str, int]:
    world.target.behaviour.referrers = False
    for number in range(3):
        sign_single(world, f"team/app{number}", build.image(SHARED, label=str(number)))
    return world.numbers(signed=3)


def late_at_a_target_without_api(world: World) -> dict[str, int]:
    world.target.behaviour.referrers = False
    for number in range(3):
        repository = f"team/app{number}"
        image = build.image(SHARED, label=str(number))
        world.put(repository, "1", image, copied=False)
        world.target.seed(repository, "1", image)
        world.attach(repository, image, build.artifact(SBOM, [b"%d" % number], subject=image), late=False)
        if number:
            world.attach(repository, image, build.artifact(SIGNATURE, [b"%d" % (7 + number)], subject=image))
        world.map(repository)
    return world.numbers(late=2, sent=2, unseen=2)


def without_artifacts(within: Callable[[World], dict[str, int]]) -> Callable[[World], dict[str, int]]:
    """Make a world of another one in which nothing that is attached to images is looked for."""

    def made(world: World) -> dict[str, int]:
        numbers = within(world)
        world.work = [replace(mapping, artifacts=ArtifactRules(enabled=False)) for mapping in world.work]
        return numbers

    return made


def named_tags_without_artifacts(world: World) -> dict[str, int]:
    return without_artifacts(named_tags)(world) | {"pages": 0}


WORLDS: dict[str, tuple[Callable[[World], dict[str, int]], ...]] = {
    "Cold: empty repositories": (cold, two_empty_targets, platforms, named_tags, new_immutable_tags),
    "Nothing changed": (nothing_changed,),
    "Moved tags": (moved_tags,),
    "New tags in filled repositories": (new_tags,),
    "A second target beside one that is up to date": (a_second_target,),
    "Platforms: nothing changed": (platforms,),
    "Immutable tags that are there": (immutable_tags,),
    "Within one registry": (one_registry,),
    "A target that grants no mounts": (no_mounts,),
    "Signed images: cold": (signed_images,),
    "Signed images: nothing changed": (signed_images,),
    "New tags of signed images that are there": (signed_images_that_are_there,),
    "Signatures that come late": (late_signatures,),
    "A source without the referrers API": (source_without_api,),
    "A target without the referrers API: cold": (target_without_api,),
    "A target without the referrers API: signatures that come late": (late_at_a_target_without_api,),
    "With a cache": (remembered,),
    "Nothing changed, with --audit": (signed_images,),
    "Without artifacts: cold": (without_artifacts(cold), named_tags_without_artifacts),
    "Without artifacts: nothing changed": (without_artifacts(nothing_changed),),
}
CASES = [(heading, world) for heading, worlds in WORLDS.items() for world in worlds]


# The tests


def test_every_table_of_the_page_is_counted() -> None:
    assert list(SECTIONS) == list(WORLDS)


def test_every_name_of_a_formula_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE))
    formulas = [
        part
        for rows in SECTIONS.values()
        for row in rows[2:]
        for cell in row[1:]
        for part in re.findall(r"`(.*?)`", cell)
    ]

    assert {name for each in formulas for name in re.findall(r"[a-z_]+", each)} <= explained
    assert {kind.value for kind in RequestKind} <= explained


FILLED = ("Platforms: nothing changed", "Signed images: nothing changed", "Nothing changed, with --audit")
"""A first pass brings what the table is not about."""


@pytest.mark.parametrize("single_post", [True, False], ids=["one POST", "POST and PUT"])
@pytest.mark.parametrize(
    ("heading", "inhabit"), CASES, ids=[f"{heading}, {inhabit.__name__}" for heading, inhabit in CASES]
)
async def test_a_pass_makes_as_many_requests_as_the_page_says(
    world: World,
    heading: str,
    inhabit: Callable[[World], dict[str, int]],
    tmp_path: Path,
    *,
    single_post: bool,
) -> None:
    for registry in (world.source, world.target, world.second):
        registry.behaviour.single_post = single_post
    numbers = inhabit(world)
    folder = tmp_path if heading == "With a cache" else None
    if heading in FILLED or folder is not None:
        await synced(world, folder)
        for registry in (world.source, world.target):
            registry.requests.clear()
    if heading == "With a cache":
        numbers = moved_since(world)

    await synced(world, folder, audit=0.0 if heading.endswith("--audit") else None)

    at_source, at_target = asked_by_kind(world.source), asked_by_kind(world.target)
    if heading == "A target that grants no mounts":
        numbers["refused"] = at_target[RequestKind.BLOB_MOUNT]
        # Those of three pairs of repositories, and what was under way: how many depends on the order of images.
        assert 3 <= numbers["refused"] <= numbers["mounts"]
    assert misses(at_source, heading, 1, numbers) == []
    if heading != "Within one registry":
        assert misses(at_target, heading, 2, numbers) == []
    if inhabit is two_empty_targets:
        assert asked_by_kind(world.second) == at_target
    if heading == "A second target beside one that is up to date":
        assert misses(asked_by_kind(world.second), "Nothing changed", 2, numbers) == []


async def synced(world: World, folder: Path | None = None, *, audit: float | None = None) -> None:
    keeping = CacheStore().open(StateLocation(folder=folder), ttl=3600.0)
    async with keeping as memory, Side(account=ACCOUNT, idle=IDLE, memory=memory) as side, asyncio.timeout(15):
        results = await side.run(world.work, audit=audit)
    assert [result.error for result in results if result.error is not None] == []
