"""Runs tools through scenarios in turn, and checks what each has left at the targets."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import measure, scenarios
from bench.check import Check, check
from bench.front import ADDRESS
from bench.holdings import copy_of
from bench.relay import relaying
from bench.scenarios import NARROW
from bench.stage import SOURCE, TARGETS
from bench.tokens import Tokens
from bench.tools import Job, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.measure import Cost
    from bench.scenarios import Scenario, States
    from bench.stage import Stage
    from bench.tools import Tool
    from bench.traffic import Traffic

_TAIL = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One pass of one tool."""

    scenario: str
    tool: str
    round: int
    cost: Cost
    source: Traffic
    targets: tuple[Traffic, ...]
    check: Check
    said: str
    """The end of what it said, where it failed."""

    @property
    def requests(self) -> int:
        """Requests at all sides."""
        return self.source.requests + sum(target.requests for target in self.targets)

    @property
    def filled(self) -> tuple[float | None, ...]:
        """Seconds from the start of the tool to each target's last tag; None where it got none."""
        ends = [target.tagged for target in self.targets]
        return tuple(None if end is None else round(end - self.cost.begun, 3) for end in ends)

    @property
    def good(self) -> bool:
        """Whether it ended well and every tag is at every target."""
        return self.cost.code == 0 and self.check.tags == self.check.tags_wanted and not self.check.damaged

    def as_json(self) -> dict[str, Any]:
        """Return a document."""
        cost = self.cost
        return {
            "scenario": self.scenario,
            "tool": self.tool,
            "round": self.round,
            "exit_code": cost.code,
            "wall_seconds": round(cost.wall, 3),
            "user_seconds": round(cost.user, 3),
            "system_seconds": round(cost.system, 3),
            "peak_memory_bytes": cost.memory,
            "filled_seconds": list(self.filled),
            "servers_seconds": round(cost.servers, 2),
            "share_of_others": round(cost.foreign, 3),
            "source": self.source.as_json(),
            "targets": [target.as_json() for target in self.targets],
            "check": self.check.as_json(),
            **({"said": self.said} if self.said else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """How runs are made."""

    stage: Stage
    states: States
    round_trip: float
    """Seconds."""
    limit: float
    """Seconds after which a run is ended."""
    patience: float
    """Seconds: a tool that takes longer for a pass is not asked to repeat it."""

    def rounds(self, tools: Sequence[Tool], chains: Sequence[tuple[Scenario, ...]], number: int) -> Iterator[Run]:
        """Run everything so many times; tools take turns, and in each round another one begins."""
        slow: set[tuple[str, str]] = set()
        for turn in range(number):
            first = turn % len(tools)
            for chain in chains:
                for tool in (*tools[first:], *tools[:first]):
                    if (tool.name, chain[0].name) in slow:
                        continue
                    for run in self._chain(tool, chain, turn):
                        if run.cost.wall > self.patience:
                            slow.add((tool.name, chain[0].name))
                        yield run

    def _chain(self, tool: Tool, chain: tuple[Scenario, ...], turn: int) -> Iterator[Run]:
        self.stage.empty_targets()
        work = self.stage.folder / "work"
        work.mkdir()
        try:
            for scenario in chain:
                if scenario.suits(tool):
                    yield self._run(tool, scenario, work, turn)
        finally:
            shutil.rmtree(work)

    def _run(self, tool: Tool, scenario: Scenario, work: Path, turn: int) -> Run:
        stage, wanted = self.stage, self.states.wanted[scenario.state]
        stage.source.repositories = copy_of(self.states.source[scenario.state])
        names = TARGETS[: scenario.targets]
        if scenario.afresh:
            stage.empty_targets()
        if scenario.filled:
            for name in names:
                stage.registries[name].fill(wanted, stage.source)
        stage.source.tokens = Tokens() if scenario.tokens else None
        scenarios.prepare(scenario, work)
        log = work / f"{scenario.name}.log"
        stage.meter.read()
        stage.backend.distance.set(0.0 if scenario.near else self.round_trip)
        with ExitStack() as lines:
            hosts = [stage.front.host(name) for name in names]
            if scenario.narrow:
                address = ADDRESS, stage.front.ports[names[-1]]
                hosts[-1] = f"{ADDRESS}:{lines.enter_context(relaying(NARROW, address))}"
            job = Job(
                source=stage.front.host(SOURCE),
                targets=hosts,
                repositories=list(wanted),
                newest=tuple(next(iter(wanted.values())).tags) if scenario.newest else (),
                tokens=scenario.tokens,
                folder=work,
            )
            cost = measure.run(
                tool.command(tool.binary, job),
                environ=environment(work, stage.front.authority, os.environ.get("PATH", os.defpath)),
                log=log,
                limit=self.limit,
                own=stage.servers,
            )
        traffic = stage.traffic()
        checks = [check(stage.registries[name], wanted) for name in names]
        run = Run(
            scenario=scenario.name,
            tool=tool.name,
            round=turn,
            cost=cost,
            source=traffic[SOURCE],
            targets=tuple(traffic[name] for name in names),
            check=sum(checks[1:], start=checks[0]),
            said=log.read_text(errors="replace")[-_TAIL:] if cost.code else "",
        )
        _tell(run)
        if stage.backend.errors:
            raise stage.backend.errors[0]
        return run


def _tell(run: Run) -> None:
    at_targets = sum(target.requests for target in run.targets)
    found = f"tags {run.check.tags}/{run.check.tags_wanted}"
    if run.check.artifacts_wanted:
        found += f", artifacts {run.check.artifacts}/{run.check.artifacts_wanted}"
    print(
        f"{run.scenario:12} {run.tool:9} {run.cost.wall:7.2f} s, CPU {run.cost.cpu:6.2f} s,"
        f" {run.cost.memory / 2**20:4.0f} MiB, requests {run.source.requests} + {at_targets}, {found}"
        + (f"; exit code {run.cost.code}: {run.said[-400:]}" if run.cost.code else ""),
        file=sys.stderr,
        flush=True,
    )
