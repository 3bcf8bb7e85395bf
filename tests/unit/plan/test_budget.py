"""How much one image may make a pass read, and one heavy image at a time."""

from __future__ import annotations

import asyncio

import pytest

from memory import Place, put_image
from ocync.lib.errors import ProtocolError
from ocync.plan.budget import HEAVY, MAX_BYTES, MAX_MANIFESTS, Budget


def test_manifests_and_bytes_are_counted_to_the_last_one() -> None:
    budget = Budget("app:1", "source.example")
    budget.count(MAX_MANIFESTS, MAX_BYTES)
    with pytest.raises(ProtocolError, match=r"^app:1: more than 2,000 manifests") as raised:
        budget.count(1)
    assert raised.value.host == "source.example"
    assert raised.value.hint is not None
    budget = Budget("app:1")
    with pytest.raises(ProtocolError, match="more than 64 MiB"):
        budget.count(0, MAX_BYTES + 1)


def test_what_is_only_checked_is_not_counted() -> None:
    budget = Budget("app:1")
    for _ in range(3):
        budget.check(MAX_MANIFESTS)
    with pytest.raises(ProtocolError):
        budget.check(MAX_MANIFESTS + 1)
    budget.count(MAX_MANIFESTS)


async def test_a_manifest_is_taken_with_its_size() -> None:
    manifest = put_image(Place("source").repository("app"), "1", b"x")
    budget = Budget("app:1")
    await budget.take(1, manifest.size)

    assert (
        repr(budget) == f"<Budget of app:1: {MAX_MANIFESTS - 1} manifests, {MAX_BYTES - manifest.size} bytes left>"
    )


async def test_heavy_images_pass_the_gate_one_at_a_time_and_light_ones_at_once() -> None:
    gate = asyncio.Lock()
    first, second, light = (Budget(name, gate=gate) for name in ("first", "second", "light"))
    await first.take(1, HEAVY + 1)
    await first.take(1, HEAVY)
    waiting = asyncio.create_task(second.take(1, HEAVY + 1))
    await asyncio.sleep(0)
    await light.take(1, HEAVY)
    assert not waiting.done()
    light.close()
    assert not waiting.done()

    first.close()
    first.close()
    await asyncio.wait_for(waiting, 1)
    assert gate.locked()
    second.close()
    assert not gate.locked()


@pytest.mark.parametrize("has_been_let_in", [True, False])
async def test_who_is_cut_off_at_the_gate_neither_keeps_it_nor_gives_another_s_away(
    *, has_been_let_in: bool
) -> None:
    gate = asyncio.Lock()
    first, cut_off, last = (Budget(name, gate=gate) for name in ("first", "cut off", "last"))
    await first.take(1, HEAVY + 1)
    waiting = asyncio.create_task(cut_off.take(1, HEAVY + 1))
    after = asyncio.create_task(last.take(1, HEAVY + 1))
    await asyncio.sleep(0)
    if has_been_let_in:
        first.close()
    waiting.cancel()
    await asyncio.wait([waiting])
    cut_off.close()

    assert after.done() is False or has_been_let_in
    first.close()
    await asyncio.wait_for(after, 1)
    last.close()
    assert not gate.locked()


async def test_what_is_too_much_does_not_wait_at_the_gate() -> None:
    gate = asyncio.Lock()
    await gate.acquire()
    budget = Budget("app:1", gate=gate)

    with pytest.raises(ProtocolError):
        await asyncio.wait_for(budget.take(1, MAX_BYTES + 1), 1)
    budget.close()
    assert gate.locked()


async def test_without_a_gate_nobody_waits() -> None:
    budget = Budget("app:1")
    await asyncio.wait_for(budget.take(1, MAX_BYTES), 1)
    budget.close()
