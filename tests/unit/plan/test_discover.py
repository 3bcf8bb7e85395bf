"""From a mapping's rules and the tag lists of both sides to the work that each target makes."""

from __future__ import annotations

import pytest

from memory import Place, put_image
from ocync.config.model import TagRules
from ocync.lib.errors import NetworkError, NotFoundError, OcyncError
from ocync.plan.discover import discover, target_state
from passes import MemoryPlaces, failing, mapping

SOURCE, A, B = "source", "a", "b"


def world() -> tuple[dict[str, Place], MemoryPlaces]:
    repositories = {name: Place(name) for name in (SOURCE, A, B)}
    for tag in ("1", "2"):
        put_image(repositories[SOURCE].repository("app"), tag, tag.encode())
    put_image(repositories[A].repository("app"), "1", b"1")
    return repositories, MemoryPlaces(*repositories.values())


async def test_the_source_is_asked_once_and_each_target_has_candidates_of_its_own() -> None:
    repositories, all_places = world()
    work = mapping("app", A, B, tags=TagRules(immutable_tags="1"))
    resolved = await discover(work, all_places)

    candidates = {
        name: {each.tag: each for each in resolved.candidates(await target_state(host.repository("app"), work))}
        for name, host in repositories.items()
        if name != SOURCE
    }

    assert repositories[SOURCE].count("tags") == 1
    assert {
        name: [tag for tag, each in found.items() if each.is_settled] for name, found in candidates.items()
    } == {
        A: ["1"],
        B: [],
    }
    assert [candidates[A][tag].target.lacks(tag) for tag in ("1", "2")] == [False, True]
    assert candidates[B]["1"].target.is_empty
    # What the source's tag leads to is asked for once, whichever target comes first.
    assert candidates[A]["2"].image is candidates[B]["2"].image
    assert candidates[A]["2"].image.hosts == {A, B}


@pytest.mark.parametrize(
    ("error", "is_empty"), [(NotFoundError("no such repository"), True), (NetworkError("down"), False)]
)
async def test_a_target_that_can_not_be_listed_is_no_error(error: OcyncError, is_empty: bool) -> None:
    repositories, _ = world()
    repositories[A].step = failing("tags", error)  # type: ignore[assignment]

    state = await target_state(repositories[A].repository("app"), mapping("app", A))

    assert (state.is_empty, state.lacks("1")) == (is_empty, is_empty)


async def test_a_source_that_can_not_be_listed_is_one() -> None:
    repositories, all_places = world()
    repositories[SOURCE].step = failing("tags", NetworkError("down"))  # type: ignore[assignment]

    with pytest.raises(NetworkError):
        await discover(mapping("app", A), all_places)


async def test_tags_that_are_named_need_no_list_and_have_to_be_there() -> None:
    repositories, all_places = world()
    work = mapping("app", A, tags=TagRules(glob=("2", "3")))

    resolved = await discover(work, all_places)
    candidates = list(resolved.candidates(await target_state(repositories[A].repository("app"), work)))

    assert repositories[SOURCE].count("tags") == 0
    assert [(each.tag, each.optional) for each in candidates] == [("2", False), ("3", False)]
    assert resolved.selection is None
