"""The tables: medians of the rounds, and how many times as much as ocync."""

from __future__ import annotations

import os
import platform
import re
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.scenarios import ALONE, BAR, BESIDE, CHAINS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.corpus import Shape
    from bench.holdings import Repositories
    from bench.runs import Run
    from bench.tools import Tool

MARKS = ("<!-- measured -->", "<!-- /measured -->")
"""The lines between which a document has the tables."""
_MIB = 1 << 20
_HEAD = (
    *("tool", "n", "wall s", "least - most", "CPU s", "peak MiB", "requests: source + target"),
    *("MiB read", "MiB written", "connections", "tags", "artifacts", "cosign tags"),
)


def conditions(shape: Shape, round_trip: float, rounds: int, *, referrers: bool) -> dict[str, Any]:
    """Return what the numbers depend on."""
    kernel = f"Linux {platform.release()}, {platform.machine()}"
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{os.cpu_count()} processors, {memory:.0f} GiB, {kernel}",
        "python": platform.python_version(),
        "round_trip_ms": round(round_trip * 1000, 3),
        "rounds": rounds,
        "referrers_api": referrers,
        "shape": {name: getattr(shape, name) for name in shape.__slots__},
    }


def described(repositories: Repositories) -> dict[str, int]:
    """Return how much there is in a state of the source."""
    found = repositories.values()
    return {
        "repositories": len(repositories),
        "tags": sum(not tag.startswith("sha256-") for each in found for tag in each.tags),
        "manifests": sum(len(each.manifests) for each in found),
        "blobs": len({digest for each in found for digest in each.blobs}),
        "blobs_per_repository": sum(len(each.blobs) for each in found),
        "artifacts": sum(len(listed) for each in found for listed in each.referrers.values()),
    }


def markdown(
    facts: Mapping[str, Any], corpora: Mapping[str, Mapping[str, int]], tools: Sequence[Tool], runs: Sequence[Run]
) -> str:
    """Return the whole document."""
    foreign = [run.cost.foreign for run in runs]
    lines = [
        f"{facts['date']}: " + ", ".join(f"--{name} {number}" for name, number in facts["shape"].items()) + ".",
        f"Machine: {facts['machine']}; Python {facts['python']}.",
        f"Round trip: {facts['round_trip_ms']:g} ms. Rounds: {facts['rounds']}; medians are shown.",
        f"Referrers API at the targets: {'yes' if facts['referrers_api'] else 'no'}.",
        f"Tools: {', '.join(f'{tool.name} {tool.version}' for tool in tools)}.",
        f"Used by other processes: {median(foreign):.0%} of the processors (at the most {max(foreign):.0%}).",
        "",
    ]
    for name, numbers in corpora.items():
        lines.append(
            f"- source `{name}`: " + ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in numbers.items())
        )
    for scenario in (scenario for chain in CHAINS for scenario in chain):
        these = [run for run in runs if run.scenario == scenario.name]
        if these:
            lines += ["", f"### {scenario.title} (`{scenario.name}`)", "", *_table(these, tools), ""]
            lines += [_kinds(next(run for run in these if run.tool == name)) for name in _names(these, tools)]
        if these and scenario.name == BESIDE:
            lines += ["", *beside(runs, tools)]
    return "\n".join(lines) + "\n"


def beside(runs: Sequence[Run], tools: Sequence[Tool]) -> list[str]:
    """Say for each tool how much later a target got its last tag beside a slow one than by itself."""
    said = []
    for tool in tools:
        of_tool = [run for run in runs if run.tool == tool.name and run.filled[0] is not None]
        alone, slowed = (
            {run.round: run.filled[0] for run in of_tool if run.scenario == s} for s in (ALONE, BESIDE)
        )
        pairs = [(alone[turn], slowed[turn]) for turn in sorted(alone.keys() & slowed.keys())]
        ratios = [after / before for before, after in pairs if before and after]
        if ratios:
            each = ", ".join(f"{after:.2f} s against {before:.2f} s" for before, after in pairs)
            said.append(
                f"{tool.name}: the last tag is at the fast target {median(ratios):.2f} times as late as where that "
                f"is filled alone, and {BAR} is the bar ({each})."
            )
    return said


def placed(document: str, tables: str) -> str:
    """Return a document with these tables between its marks, without the requests of each tool by kind."""
    before, _, rest = document.partition(MARKS[0])
    shorter = re.sub(r"(\n- .+: source .+)+\n", "", tables)
    return f"{before}{MARKS[0]}\n{shorter}{MARKS[1]}{rest.partition(MARKS[1])[2]}"


def _names(runs: Sequence[Run], tools: Sequence[Tool]) -> list[str]:
    return [tool.name for tool in tools if any(run.tool == tool.name for run in runs)]


def _table(runs: Sequence[Run], tools: Sequence[Tool]) -> list[str]:
    ours = [run for run in runs if run.tool == tools[0].name]
    rows = [_row(name, [run for run in runs if run.tool == name], ours) for name in _names(runs, tools)]
    return [f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|", *rows]


def _row(name: str, runs: Sequence[Run], ours: Sequence[Run]) -> str:
    def compared(value: Callable[[Run], float], form: str) -> str:
        middle = median(map(value, runs))
        reference = median(map(value, ours))
        times = f" ({middle / reference:.2g}x)" if runs[0].tool != ours[0].tool and reference else ""
        return f"{middle:{form}}{times}"

    walls = [run.cost.wall for run in runs]
    codes = sorted({run.cost.code for run in runs} - {0})
    source, at_targets = runs[-1].source.requests, sum(target.requests for target in runs[-1].targets)
    cells = (
        name + (f" (exit code {', '.join(map(str, codes))})" if codes else ""),
        str(len(runs)),
        compared(lambda run: run.cost.wall, ".2f"),
        f"{min(walls):.2f} - {max(walls):.2f}",
        compared(lambda run: run.cost.cpu, ".2f"),
        f"{median(run.cost.memory for run in runs) / _MIB:.0f}",
        f"{compared(lambda run: run.requests, '.0f')}: {source} + {at_targets}",
        f"{median(run.source.sent for run in runs) / _MIB:.1f}",
        f"{median(sum(target.received for target in run.targets) for run in runs) / _MIB:.1f}",
        f"{median(run.source.connections + sum(target.connections for target in run.targets) for run in runs):.0f}",
        *_checked(runs),
    )
    return f"| {' | '.join(cells)} |"


def _checked(runs: Sequence[Run]) -> tuple[str, ...]:
    checks = [run.check for run in runs]
    damaged = max(each.damaged for each in checks)
    return (
        f"{min(each.tags for each in checks)}/{checks[0].tags_wanted}"
        + (f", {damaged} damaged" if damaged else ""),
        f"{min(each.artifacts for each in checks)}/{checks[0].artifacts_wanted}",
        f"{min(each.cosign for each in checks)}/{checks[0].cosign_wanted}",
    )


def _kinds(run: Run) -> str:
    source = ", ".join(f"{kind} {number}" for kind, number in run.source.kinds.items())
    target = ", ".join(f"{kind} {number}" for kind, number in run.targets[0].kinds.items())
    return f"- {run.tool}: source {source or 'nothing'} (at most {run.source.peak} at once); " + (
        f"target {target or 'nothing'} (at most {run.targets[0].peak} at once)"
    )
