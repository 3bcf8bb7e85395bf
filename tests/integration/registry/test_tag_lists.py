"""Tag lists in all the forms that registries give them (distribution-spec 1.1, "Listing Tags")."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from clients import Side, asked, repository_of
from ocync.lib.errors import AuthError, NotFoundError, OcyncError, ProtocolError, RateLimitedError
from ocync.oci.digest import Digest
from ocync.registry.call import Answer
from ocync.registry.repository_api import RepositoryApi
from ocync.registry.tag_list import TagList
from scripted import ScriptedRegistry, build, faults
from scripted.behaviour import LINKS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from scripted.rules import Action

LIST = r"/tags/list"
IMAGE = build.image()


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as running:
        yield running


def fill(registry: ScriptedRegistry, count: int) -> tuple[str, ...]:
    repository = registry.repository("team/app")
    repository.manifests[IMAGE.digest] = IMAGE.root
    repository.blobs.update(IMAGE.blobs)
    repository.tags.update({f"v{number:05}": IMAGE.digest for number in range(count)})
    return tuple(sorted(repository.tags))


async def test_a_short_list_is_one_request(registry: ScriptedRegistry) -> None:
    tags = fill(registry, 3)

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == tags
        page = await repository.first_tags()

    assert (page.tags, page.complete) == (tags, True)
    assert asked(registry) == 2


@pytest.mark.parametrize("link", [form for form in LINKS if form not in ("none", "other-host")])
@pytest.mark.parametrize(("count", "size", "pages"), [(7, 3, 3), (6, 3, 2), (3, 3, 1), (1, 3, 1)])
async def test_the_next_page_is_found_in_every_form_of_link(
    registry: ScriptedRegistry, link: str, count: int, size: int, pages: int
) -> None:
    tags = fill(registry, count)
    registry.behaviour.link, registry.behaviour.page_size = link, size

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == tags
        page = await repository.first_tags()

    assert (page.tags, page.complete) == (tags[:size], count <= size)
    assert registry.count("GET", LIST) == pages + 1


async def test_a_page_that_is_empty_or_short_is_not_taken_for_the_end(registry: ScriptedRegistry) -> None:
    tags = fill(registry, 9)
    registry.behaviour.page_size = 3
    registry.on("GET", LIST, after=1, times=1, respond=faults.edit_json(lambda body: {**body, "tags": []}))
    registry.on("GET", LIST, times=1, respond=faults.edit_json(lambda body: {**body, "tags": body["tags"][:1]}))

    async with repository_of(registry.url) as repository:
        found = await repository.tags()

    assert found == (tags[0], *tags[6:])


async def test_a_list_that_goes_on_elsewhere_is_not_used(registry: ScriptedRegistry) -> None:
    fill(registry, 5)
    registry.behaviour.page_size, registry.behaviour.link = 2, "other-host"

    async with repository_of(registry.url) as repository:
        with pytest.raises(ProtocolError, match="another host"):
            await repository.tags()

    assert asked(registry) == 1


@pytest.mark.parametrize(
    "link",
    ['/v2/team/app/tags/list?last=2; rel="next"', '<>; rel="next"', '</v2/team/app/tags/list?last=2> rel="next"'],
)
async def test_a_list_that_goes_on_in_a_way_that_can_t_be_read_is_not_used(
    registry: ScriptedRegistry, link: str
) -> None:
    fill(registry, 3)
    registry.on("GET", LIST, respond=faults.headers({"Link": link}))

    async with repository_of(registry.url) as repository:
        for asking in (repository.tags, repository.first_tags):
            with pytest.raises(ProtocolError, match="in a way that can't be read: Link: "):
                await asking()

    assert asked(registry) == 2


@pytest.mark.parametrize(("count", "requests"), [(2500, 3), (2000, 3), (1000, 2), (999, 1)])
async def test_without_a_link_a_full_page_is_followed_by_last(
    registry: ScriptedRegistry, count: int, requests: int
) -> None:
    # Gitea and Forgejo honour n and last, and send no Link.
    tags = fill(registry, count)
    registry.behaviour.link = "none"

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == tags
        page = await repository.first_tags()

    assert page.complete is (count < 1000)
    assert registry.count("GET", LIST) == requests + 1


async def test_a_full_page_is_full_with_the_entries_that_are_no_tags(registry: ScriptedRegistry) -> None:
    tags = fill(registry, 1500)
    registry.behaviour.link = "none"
    # The last entry of the first page is no tag, and a place to go on from all the same.
    registry.on(
        "GET",
        LIST,
        times=1,
        respond=faults.edit_json(lambda body: {**body, "tags": [*body["tags"][:-2], None, body["tags"][-1] + "@"]}),
    )

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == (*tags[:998], *tags[1000:])


async def test_a_registry_that_ignores_last_and_n_gives_its_list_once(registry: ScriptedRegistry) -> None:
    tags = fill(registry, 1000)
    registry.behaviour.link = "none"
    everything = faults.edit_json(lambda body: {**body, "tags": list(tags)})
    registry.on("GET", LIST, respond=everything)

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == tags

    assert asked(registry) == 2


@pytest.mark.parametrize("limit", [100, 999])
async def test_a_registry_that_refuses_n_is_asked_without_it(registry: ScriptedRegistry, limit: int) -> None:
    tags = fill(registry, 1200)
    registry.behaviour.page_limit = limit

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == tags
        assert (await repository.first_tags()).tags == tags

    assert [request.query for request in registry.requests.matching("GET", LIST)] == ["n=1000", "", "n=1000", ""]


NOTHING = {
    "null": faults.tags_null(),
    "missing": faults.tags_missing(),
    "an empty list": faults.edit_json(lambda body: {**body, "tags": []}),
}


@pytest.mark.parametrize("form", NOTHING.values(), ids=NOTHING)
async def test_no_tags_are_told_in_three_ways(registry: ScriptedRegistry, form: Action) -> None:
    fill(registry, 3)
    registry.on("GET", LIST, respond=form)

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == ()
        page = await repository.first_tags()

    assert (page.tags, page.complete) == ((), True)


async def test_entries_that_are_no_tags_are_left_out(registry: ScriptedRegistry) -> None:
    tags = fill(registry, 2)
    strange = (None, "", f"sha256:{'0' * 64}", 7, ["x"], {"name": "y"}, "-dash", "a/b", "x" * 129, "ü", "a\nb")
    registry.on("GET", LIST, respond=faults.tags_with(*strange))

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == tags
        assert (await repository.first_tags()).tags == tags


async def test_pages_of_nothing_but_entries_that_are_no_tags_are_read_on(registry: ScriptedRegistry) -> None:
    tags = fill(registry, 40)
    registry.behaviour.page_size = 2
    # Artifactory lists digests among its tags, and there can be more of them than fit on many pages.
    registry.on("GET", LIST, times=19, respond=faults.edit_json(digests_only))

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == tags[38:]


def digests_only(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "tags": [str(Digest.of(tag.encode())) for tag in body["tags"]]}


async def test_a_tag_that_is_listed_twice_is_one_tag(registry: ScriptedRegistry) -> None:
    tags = fill(registry, 4)
    registry.behaviour.page_size = 2
    registry.on("GET", LIST, respond=faults.tags_with(tags[0]))

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == tags


async def test_the_order_of_the_registry_is_kept(registry: ScriptedRegistry) -> None:
    fill(registry, 3)
    registry.on("GET", LIST, respond=faults.edit_json(lambda body: {**body, "tags": ["b", "Z", "a", "10", "9"]}))

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == ("b", "Z", "a", "10", "9")


@pytest.mark.parametrize(("kind", "most"), [("same", 3), ("fresh", 6), ("grow", 20)])
async def test_an_endless_list_is_an_error_and_no_part_of_it_is_used(
    registry: ScriptedRegistry, kind: str, most: int
) -> None:
    fill(registry, 3)
    registry.on("GET", LIST, respond=faults.endless_tags(kind))

    async with Side() as side:
        config = side.config(registry.url)
        api = RepositoryApi(side.repositories.client(config), config.repository("team/app"))
        tags = TagList(api, max_pages=20)
        with pytest.raises(ProtocolError, match="does not end"):
            await tags.all()

    assert asked(registry) <= most


async def test_a_list_that_grows_without_end_and_without_links_is_an_error(registry: ScriptedRegistry) -> None:
    pages = iter(range(1_000_000))
    fill(registry, 1)

    def grown(body: dict[str, object]) -> dict[str, object]:
        page = next(pages)
        return {**body, "tags": [f"p{page}-{number}" for number in range(1000)]}

    registry.on("GET", LIST, respond=faults.edit_json(grown))

    async with Side() as side:
        config = side.config(registry.url)
        api = RepositoryApi(side.repositories.client(config), config.repository("team/app"))
        tags = TagList(api, max_pages=20)
        with pytest.raises(ProtocolError, match="does not end"):
            await tags.all()

    assert asked(registry) <= 20


BAD = {
    "a login page": (faults.html(), ProtocolError),
    "no JSON": (faults.answer(200, b"\xff{"), ProtocolError),
    "nothing": (faults.answer(200), ProtocolError),
    "depth": (faults.answer(200, b'{"tags":' + b"[" * 100_000), ProtocolError),
    "a list": (faults.answer(200, b'["a"]'), ProtocolError),
    "a string": (faults.answer(200, b'"tags"'), ProtocolError),
    "tags is a string": (faults.answer(200, b'{"tags": "latest"}'), ProtocolError),
    "tags is an object": (faults.answer(200, b'{"tags": {"latest": 1}}'), ProtocolError),
    "an error with 200": (faults.answer(200, b'{"errors": [{"code": "DENIED"}]}'), ProtocolError),
    "too much": (faults.answer(200, b'{"tags": ["' + b"x" * (17 * 1024 * 1024) + b'"]}'), ProtocolError),
    "404": (faults.error(404, "NAME_UNKNOWN"), NotFoundError),
    "404 in plain text": (faults.answer(404, "404 page not found"), NotFoundError),
    "403": (faults.error(403, "DENIED"), AuthError),
    "401": (faults.error(401, "UNAUTHORIZED"), AuthError),
    "400": (faults.error(400, "NAME_INVALID"), ProtocolError),
    "429, always": (faults.too_many(), RateLimitedError),
}


@pytest.mark.parametrize(("fault", "kind"), BAD.values(), ids=BAD)
async def test_a_list_that_can_t_be_had_is_an_error_and_not_an_empty_list(
    registry: ScriptedRegistry, fault: Action, kind: type[OcyncError]
) -> None:
    fill(registry, 3)
    registry.on("GET", LIST, respond=fault)

    async with repository_of(registry.url) as repository:
        with pytest.raises(kind):
            await repository.tags()

    assert asked(registry) <= 5


@pytest.mark.parametrize(("fault", "kind"), BAD.values(), ids=BAD)
async def test_a_list_that_fails_on_its_second_page_fails_as_a_whole(
    registry: ScriptedRegistry, fault: Action, kind: type[OcyncError]
) -> None:
    fill(registry, 6)
    registry.behaviour.page_size = 2
    registry.on("GET", LIST, after=1, respond=fault)

    async with repository_of(registry.url) as repository:
        with pytest.raises(kind):
            await repository.tags()


async def test_a_repository_that_does_not_exist_has_no_first_tags(registry: ScriptedRegistry) -> None:
    async with repository_of(registry.url, "no/such") as repository:
        with pytest.raises(NotFoundError, match="does not exist"):
            await repository.tags()
        page = await repository.first_tags()

    assert (page.tags, page.complete) == ((), True)


@pytest.mark.parametrize(
    "fault",
    [faults.answer(503), faults.cut(after=10), faults.reset(), faults.too_many(seconds=2), faults.stall(30)],
    ids=["503", "cut", "reset", "429", "stall"],
)
async def test_a_page_that_fails_in_passing_is_asked_for_again(registry: ScriptedRegistry, fault: Action) -> None:
    tags = fill(registry, 6)
    registry.behaviour.page_size = 2
    registry.on("GET", LIST, after=1, times=2, respond=fault)

    async with repository_of(registry.url, idle=0.1) as repository:
        assert await repository.tags() == tags

    assert registry.count("GET", LIST) <= 6


async def test_a_very_long_list_is_read_in_pages_of_a_thousand(registry: ScriptedRegistry) -> None:
    tags = fill(registry, 20_000)

    async with repository_of(registry.url) as repository:
        assert await repository.tags() == tags

    assert asked(registry) == 20


GARBAGE = {
    "no JSON": faults.answer(200, b"[" + b"1, " * 1_000_000),
    "no list": faults.answer(200, json.dumps({"errors": "x" * 1_000_000})),
    "cut off": faults.chain(faults.cut(after=900_000), faults.answer(200, b"[" + b"1, " * 1_000_000)),
    "an error": faults.answer(400, b"x" * 1_000_000),
}


@pytest.mark.parametrize("fault", GARBAGE.values(), ids=GARBAGE)
async def test_the_error_of_a_large_answer_does_not_keep_it(registry: ScriptedRegistry, fault: Action) -> None:
    registry.on("GET", LIST, respond=fault)

    async with repository_of(registry.url, attempts=1) as repository:
        with pytest.raises(OcyncError) as caught:
            await repository.tags()

    assert list(_kept(caught.value)) == []


def _kept(error: BaseException | None) -> Iterator[object]:
    """Give the large things that an error keeps alive, with what it was raised from."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            for value in frame.f_locals.values():
                if isinstance(value, bytes | bytearray | str) and len(value) > 400_000:
                    yield frame
                if isinstance(value, Answer) and len(value.body) > 100_000:
                    yield frame
        yield from (value for value in vars(error).values() if isinstance(value, str) and len(value) > 10_000)
        yield from (value for value in (getattr(error, "doc", None),) if value)
        error = error.__cause__ or error.__context__
