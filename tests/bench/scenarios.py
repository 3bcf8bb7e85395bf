"""What is measured: each scenario is one pass, with the source and the targets in known states."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import corpus
from bench.holdings import copy_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from bench.corpus import Shape
    from bench.holdings import Repositories
    from bench.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One pass."""

    name: str
    title: str
    state: str
    """The state of the source."""
    targets: int = 1
    near: bool = False
    """Whether round trips take no time."""
    filled: bool = False
    """Whether the target holds all of the source before the pass."""
    newest: bool = False
    """Whether only the newest tags are wanted."""
    tokens: bool = False
    """Whether the source demands tokens, each valid for one repository."""
    forgetting: bool = False
    """Whether what the tool remembers is taken from it."""
    afresh: bool = False
    """Whether the targets are empty and nothing is remembered, though another scenario came before."""
    narrow: bool = False
    """Whether the last target is behind a narrow line, see NARROW."""

    def suits(self, tool: Tool) -> bool:
        """Tell whether a tool is measured: loops of processes are not, where they would take many minutes."""
        if self.forgetting:
            return tool.remembers
        return tool.configured or not (self.filled or self.targets > 1)


NARROW = 2 << 20
"""Bytes per second that a narrow line takes, of all connections together."""
BAR = 1.3
"""How many times as long a target may take to be filled beside a slow one as it takes alone."""
ALONE, BESIDE = "alone", "slow-target"

CHAINS = (
    (
        Scenario(name="cold", title="The target is empty", state="cold"),
        Scenario(name="unchanged", title="Nothing has changed since", state="cold"),
        Scenario(
            name="forgotten",
            title="Nothing has changed, and what was remembered is gone",
            state="cold",
            forgetting=True,
        ),
        Scenario(name="moved", title="5 % of the tags have moved", state="moved"),
        Scenario(name="signed", title="Another 10 % of the images have been signed since", state="signed"),
    ),
    (Scenario(name="two-targets", title="Two empty targets", state="cold", targets=2),),
    (Scenario(name="latest", title="Many tags, the newest ten wanted", state="many", newest=True),),
    (
        Scenario(name="tokens", title="An empty target; tokens for one repository each", state="cold", tokens=True),
        Scenario(name="tokens-unchanged", title="The same, and nothing has changed", state="cold", tokens=True),
    ),
    (Scenario(name="big", title="One big layer, no delay", state="big", near=True),),
    (
        Scenario(name=ALONE, title="An empty target by itself", state="cold"),
        Scenario(
            name=BESIDE,
            title="The same beside one that takes 2 MiB/s",
            state="cold",
            targets=2,
            narrow=True,
            afresh=True,
        ),
    ),
    (
        Scenario(name="growth", title="Nothing to do, few tags", state="growth", filled=True),
        Scenario(name="growth-10x", title="Nothing to do, ten times the tags", state="growth-10x", filled=True),
    ),
)
"""Scenarios that follow each other, and start with empty targets."""
NAMES = tuple(scenario.name for chain in CHAINS for scenario in chain)
USUAL = tuple(name for name in NAMES if not name.startswith("tokens") and name not in (ALONE, BESIDE))
"""What is measured unless others are asked for: a narrow line takes minutes."""


def chosen(names: Collection[str]) -> list[tuple[Scenario, ...]]:
    """Return the chains with these scenarios, and those that lead to them."""
    chains = []
    for chain in CHAINS:
        wanted = [number for number, scenario in enumerate(chain) if scenario.name in names]
        if wanted and all(scenario.filled for scenario in chain):
            chains.append(tuple(chain[number] for number in wanted))
        elif wanted:
            chains.append(chain[: wanted[-1] + 1])
    return chains


@dataclass(frozen=True, slots=True)
class States:
    """The states of the source by name, and what is wanted of each."""

    source: dict[str, Repositories]
    wanted: dict[str, Repositories]


def build(folder: Path, shape: Shape, chains: Collection[tuple[Scenario, ...]]) -> States:
    """Make the states that the chains need; the blobs become files of the folder."""
    needed = {scenario.state for chain in chains for scenario in chain}
    source: dict[str, Repositories] = {}
    wanted: dict[str, Repositories] = {}
    if needed & {"cold", "moved", "signed"}:
        source |= corpus.ordinary(folder, shape)
    if "many" in needed:
        source["many"], wanted["many"] = corpus.many(folder, shape)
    if "big" in needed:
        source["big"] = corpus.big(folder, shape)
    if needed & {"growth", "growth-10x"}:
        whole = corpus.growth(folder, shape.growth * 10)
        source["growth-10x"] = whole
        source["growth"] = copy_of(dict(list(whole.items())[: shape.growth]))
    return States(source, {**source, **wanted})


def prepare(scenario: Scenario, work: Path) -> None:
    """Take from a tool what it remembers, where the scenario demands that."""
    if scenario.forgetting or scenario.afresh:
        shutil.rmtree(work / "cache", ignore_errors=True)
