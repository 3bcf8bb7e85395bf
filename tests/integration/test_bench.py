"""The benchmark runs with nothing but ocync, and what it writes is true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench import scenarios

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True, slots=True)
class Done:
    """What a benchmark left."""

    code: int
    said: str
    table: str
    runs: dict[str, dict[str, Any]]


def bench(folder: Path, *arguments: str, **variables: str) -> Done:
    """Run the benchmark with ocync alone, or with others that the variables name."""
    out = folder / "measured"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench",
            "--quick",
            "--rtt",
            "5",
            "--out",
            str(out),
            "--data",
            str(folder),
            *arguments,
        ],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "tests"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    runs = json.loads(out.with_suffix(".json").read_text())["runs"]
    by_name = {f"{run['tool']} {run['scenario']}": run for run in runs}
    return Done(done.returncode, done.stdout + done.stderr, out.with_suffix(".md").read_text(), by_name)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return bench(tmp_path_factory.mktemp("bench"), "--tools", "ocync")


def test_a_quick_run_goes_through_every_usual_scenario_and_leaves_every_target_complete(quick: Done) -> None:
    assert quick.code == 0, quick.said
    assert set(quick.runs) == {f"ocync {name}" for name in scenarios.USUAL}
    for run in quick.runs.values():
        assert run["check"]["tags"] == run["check"]["tags_wanted"] > 0
        assert run["check"]["damaged"] == 0
        assert f"(`{run['scenario']}`)" in quick.table


def test_the_counts_are_those_of_the_passes(quick: Done) -> None:
    cold, unchanged = quick.runs["ocync cold"], quick.runs["ocync unchanged"]

    blobs = cold["source"]["kinds"]["blob GET"]
    assert cold["targets"][0]["kinds"]["upload POST"] == blobs
    assert "upload PUT" not in cold["targets"][0]["kinds"]
    assert cold["source"]["sent"] > 16 << 20
    assert cold["targets"][0]["received"] >= cold["source"]["kinds"]["blob GET"] + (16 << 20)
    assert "blob GET" not in unchanged["source"]["kinds"]
    assert "manifest PUT" not in unchanged["targets"][0]["kinds"]
    assert unchanged["source"]["requests"] == sum(unchanged["source"]["kinds"].values())


def test_time_memory_and_distance_are_measured(quick: Done) -> None:
    for run in quick.runs.values():
        assert run["wall_seconds"] > 0
        assert run["user_seconds"] > 0.05
        assert run["peak_memory_bytes"] > 10 << 20

    # Three round trips of a connection, then at the least list, manifest, blob, upload, commit, tag.
    assert quick.runs["ocync cold"]["wall_seconds"] > 0.005 * 9


def test_a_narrow_line_holds_up_its_target_and_the_ratio_of_the_other_one_is_told(tmp_path: Path) -> None:
    done = bench(tmp_path, "--tools", "ocync", "--only", "slow-target", "--size", "4")

    assert done.code == 0, done.said
    fast, slow = done.runs["ocync slow-target"]["filled_seconds"]
    (alone,) = done.runs["ocync alone"]["filled_seconds"]
    assert slow > 4 * (1 << 20) / scenarios.NARROW - 0.5
    assert f"{fast / alone:.2f} times as late" in done.table


def test_a_tool_that_fails_is_shown_as_that_and_beside_ours(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho it has no version\nexit 9\n")
    broken.chmod(0o755)

    done = bench(tmp_path, "--tools", "regsync", "--only", "cold", BENCH_REGSYNC=str(broken))

    assert done.code == 0, done.said
    assert "| regsync (exit code 9) | 1 |" in done.table
    assert done.runs["regsync cold"]["check"]["tags"] == 0
    assert "it has no version" in done.runs["regsync cold"]["said"]


def test_an_ocync_that_leaves_tags_out_fails_the_benchmark(tmp_path: Path) -> None:
    lazy = tmp_path / "lazy"
    lazy.write_text("#!/bin/sh\nexit 0\n")
    lazy.chmod(0o755)

    assert bench(tmp_path, "--tools", "ocync", "--only", "cold", BENCH_OCYNC=str(lazy)).code == 1


def test_the_registries_of_an_ended_benchmark_are_gone(quick: Done, tmp_path: Path) -> None:
    bench(tmp_path, "--tools", "ocync", "--only", "big")

    assert not list(tmp_path.glob("ocync-bench-*"))
    processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    assert not [entry for entry in processes if str(tmp_path).encode() in _arguments(entry)]


def _arguments(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
