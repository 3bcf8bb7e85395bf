from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench import scenarios, table, tools
from bench.check import Check
from bench.measure import Cost
from bench.runs import Run
from bench.tools import Job, Tool
from bench.traffic import Traffic

NONE = Traffic(requests=0, kinds={}, statuses={}, sent=0, received=0, connections=0, peak=0)
COST = Cost(code=0, begun=1000.0, wall=2.0, user=0.5, system=0.5, memory=30 << 20, servers=1.0, foreign=0.25)
WHOLE = Check(tags=4, tags_wanted=4, artifacts=2, artifacts_wanted=2, cosign=0, cosign_wanted=0, damaged=0)
RUN = Run(
    scenario="cold",
    tool="ocync",
    round=0,
    cost=COST,
    source=replace(NONE, requests=10, sent=3 << 20, kinds={"blob GET": 10}, connections=2),
    targets=(replace(NONE, requests=30, received=3 << 20),),
    check=WHOLE,
    said="",
)


def tool(name: str) -> Tool:
    """Return a tool that is not run."""
    return Tool(name=name, binary=name, version="1.2.3", command=lambda *_: [], configured=True)


def shown(*runs: Run) -> list[list[str]]:
    """Return the cells of the rows of these runs' table."""
    facts = {
        "date": "d",
        "shape": {"tags": 4},
        "machine": "m",
        "python": "3",
        "round_trip_ms": 25.0,
        "rounds": 3,
        "referrers_api": True,
    }
    text = table.markdown(facts, {}, [tool("ocync"), tool("crane")], runs)
    rows = [line for line in text.splitlines() if line.startswith(("| ocync", "| crane"))]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_rows_have_medians_and_how_many_times_as_much_as_ocync() -> None:
    walls = [replace(RUN, cost=replace(COST, wall=wall)) for wall in (9.0, 2.0, 1.0)]
    crane = replace(
        RUN, tool="crane", cost=replace(COST, wall=5.0, user=2.0), targets=(replace(NONE, requests=10),)
    )

    ours, theirs = shown(*walls, crane)

    assert ours[:7] == ["ocync", "3", "2.00", "1.00 - 9.00", "1.00", "30", "40: 10 + 30"]
    assert theirs[:7] == ["crane", "1", "5.00 (2.5x)", "5.00 - 5.00", "2.50 (2.5x)", "30", "20 (0.5x): 10 + 10"]


def test_rows_show_the_worst_that_was_found_at_the_targets() -> None:
    bad = replace(RUN, check=replace(WHOLE, tags=3, artifacts=0, damaged=1), cost=replace(COST, code=2))

    (ours,) = shown(RUN, bad, RUN)

    assert ours[0] == "ocync (exit code 2)"
    assert ours[-3:] == ["3/4, 1 damaged", "0/2", "0/0"]
    assert (RUN.good, bad.good) == (True, False)


def test_how_late_the_last_tag_is_at_a_target_beside_a_slow_one_is_told_by_rounds() -> None:
    def filled(scenario: str, turn: int, seconds: float | None) -> Run:
        tagged = None if seconds is None else COST.begun + seconds
        return replace(RUN, scenario=scenario, round=turn, targets=(replace(NONE, tagged=tagged),))

    runs = [filled("alone", 0, 2.0), filled("slow-target", 0, 3.0), filled("alone", 1, 2.0)]
    runs += [filled("slow-target", 1, 2.2), filled("alone", 2, 2.0), filled("slow-target", 2, None)]

    (said,) = table.beside(runs, [tool("ocync"), tool("crane")])

    assert said.startswith("ocync: the last tag is at the fast target 1.30 times as late")
    assert said.endswith("(3.00 s against 2.00 s, 2.20 s against 2.00 s).")


def test_tables_take_the_place_of_the_last_ones() -> None:
    begin, end = table.MARKS

    new = "- source `cold`: 4 tags\n\n| row |\n\n- ocync: source tags 1 (at most 1 at once); target nothing\n"
    kept = "- source `cold`: 4 tags\n\n| row |\n"

    assert table.placed(f"a\n{begin}\nold\n{end}\nb\n", new) == f"a\n{begin}\n{kept}{end}\nb\n"


@pytest.mark.parametrize(
    ("names", "chains"),
    [
        (["cold"], [["cold"]]),
        (["moved"], [["cold", "unchanged", "forgotten", "moved"]]),
        (["growth-10x"], [["growth-10x"]]),
        (["big", "two-targets"], [["two-targets"], ["big"]]),
        (["slow-target"], [["alone", "slow-target"]]),
    ],
    ids=["first", "with what leads to it", "on its own", "several", "with what it is compared with"],
)
def test_a_scenario_comes_with_those_that_lead_to_it(names: list[str], chains: list[list[str]]) -> None:
    assert [[scenario.name for scenario in chain] for chain in scenarios.chosen(names)] == chains


def test_the_document_tells_of_every_scenario_and_tool_and_has_a_place_for_the_tables() -> None:
    text = (Path(__file__).parents[3] / "docs" / "performance.md").read_text(encoding="utf-8")

    assert all(mark in text for mark in table.MARKS)
    assert all(f"`{name}`" in text for name in scenarios.NAMES)
    assert all(name in text for name in tools.NAMES if name != "ocync-rs")


@pytest.mark.parametrize("name", tools.NAMES)
def test_every_tool_is_told_of_all_that_is_wanted(name: str, tmp_path: Path) -> None:
    found = tools.found([name], {"PATH": os.defpath, f"BENCH_{name.upper().replace('-', '_')}": "/bin/true"})
    job = Job(source="src:1", targets=["one:2", "two:3"], repositories=["a/b", "a/c"], folder=tmp_path)

    told = " ".join(found[-1].command("/bin/true", job)) + "".join(f.read_text() for f in tmp_path.iterdir())

    assert found[-1].name == name
    assert all(word in told for word in ("src:1", "one:2", "two:3", "a/b", "a/c"))


def test_tools_that_are_not_there_are_left_out() -> None:
    assert "skopeo" not in [each.name for each in tools.found(["skopeo"], {"PATH": "/nowhere"})]
