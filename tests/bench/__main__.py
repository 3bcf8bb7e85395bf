"""The command line of the benchmark: see `scripts/bench --help`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from bench import scenarios, table, tools
from bench.corpus import Shape
from bench.front import MissingError
from bench.runs import Run, Session
from bench.stage import staged

_MIB = 1 << 20
_USUAL = Shape(repositories=12, tags=36, size=192, big=256, many=2000, growth=10)
_QUICK = Shape(repositories=4, tags=8, size=16, big=16, many=200, growth=2)
_FULL = Shape(repositories=40, tags=120, size=1536, big=1024, many=2000, growth=50)
_ABOUT = """\
Measures ocync beside the tools of its kind that are on PATH, over registries of its own on loopback: HTTPS, HTTP/2
offered, every request answered one round trip late and counted. Needs nginx and openssl, and Linux.

  scripts/bench                    some minutes, by the number of tools
  scripts/bench --quick            under a minute, to see that all works
  scripts/bench --full             half an hour or more
"""
_EPILOGUE = """\
A tool that is not on PATH is named by a variable: BENCH_OCYNC, BENCH_OCYNC_RS (ocync 0.5.2), BENCH_REGSYNC,
BENCH_CRANE, BENCH_ORAS, BENCH_SKOPEO. Exit code 1 means that ocync failed or left a target incomplete.
"""


def main() -> int:
    """Run the benchmark; returns the exit code."""
    args = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shape = _shape(args)
    found = tools.found([name for name in args.tools.split(",") if name], os.environ)
    if not found or found[0].name != "ocync":
        print("bench: there is no ocync beside this Python; run scripts/environment", file=sys.stderr)
        return 3
    chains = scenarios.chosen(args.only.split(","))
    room = Path(args.data or tempfile.gettempdir())
    try:
        _check_room(room, shape)
        with tempfile.TemporaryDirectory(prefix="ocync-bench-", dir=room) as folder:
            return _measure(args, shape, found, chains, Path(folder))
    except MissingError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 3


def _measure(
    args: argparse.Namespace,
    shape: Shape,
    found: list[tools.Tool],
    chains: list[tuple[scenarios.Scenario, ...]],
    folder: Path,
) -> int:
    runs: list[Run] = []
    with staged(folder, referrers=not args.no_referrers) as stage:
        print(f"making the corpus ({', '.join(f'{each.name} {each.version}' for each in found)})", file=sys.stderr)
        states = scenarios.build(stage.source.blobs, shape, chains)
        session = Session(
            stage=stage, states=states, round_trip=args.rtt / 1000, limit=args.limit, patience=args.patience
        )
        for run in session.rounds(found, chains, args.rounds):
            runs.append(run)
            facts = table.conditions(shape, args.rtt / 1000, args.rounds, referrers=not args.no_referrers)
            corpora = {name: table.described(state) for name, state in states.source.items()}
            _write(args.out, facts, corpora, found, runs)
    written = Path(f"{args.out}.md").read_text(encoding="utf-8")
    print(written, end="")
    if args.into:
        document = Path(args.into)
        document.write_text(table.placed(document.read_text(encoding="utf-8"), written), encoding="utf-8")
    return 0 if all(run.good for run in runs if run.tool == "ocync") else 1


def _write(
    out: str,
    facts: dict[str, object],
    corpora: dict[str, dict[str, int]],
    found: list[tools.Tool],
    runs: list[Run],
) -> None:
    """Write both files anew after every run, so that an interrupted benchmark leaves what it has."""
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    document = {
        "conditions": facts,
        "source": corpora,
        "tools": {tool.name: tool.version for tool in found},
        "runs": [run.as_json() for run in runs],
    }
    Path(f"{out}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    Path(f"{out}.md").write_text(table.markdown(facts, corpora, found, runs), encoding="utf-8")


def _check_room(room: Path, shape: Shape) -> None:
    needed = 3 * (shape.size + shape.big) * _MIB
    free = shutil.disk_usage(room).free
    if free < needed:
        raise MissingError(f"{room} has {free // _MIB} MiB left, {needed // _MIB} are needed; name another: --data")


def _shape(args: argparse.Namespace) -> Shape:
    shape = _QUICK if args.quick else _FULL if args.full else _USUAL
    given = {name: value for name in asdict(shape) if (value := getattr(args, name)) is not None}
    return replace(shape, **given)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=_ABOUT,
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a small corpus, one round")
    size.add_argument("--full", action="store_true", help="a large corpus")
    parser.add_argument("--rounds", type=_positive, help="repetitions (3; 1 with --quick)")
    parser.add_argument("--rtt", type=float, default=25.0, metavar="MS", help="a round trip (%(default)s)")
    parser.add_argument("--tools", default=",".join(tools.NAMES), help="%(default)s")
    parser.add_argument("--only", default=",".join(scenarios.USUAL), help=f"of {','.join(scenarios.NAMES)}")
    parser.add_argument("--no-referrers", action="store_true", help="targets have no referrers API")
    parser.add_argument("--repositories", type=_positive, metavar="N")
    parser.add_argument("--tags", type=_positive, metavar="N")
    parser.add_argument("--size", type=_positive, metavar="MIB", help="all layers, each counted once")
    parser.add_argument("--big", type=_positive, metavar="MIB", help="the one big layer")
    parser.add_argument("--many", type=_positive, metavar="N", help="tags of which the newest ten are wanted")
    parser.add_argument(
        "--growth", type=_positive, metavar="N", help="repositories of 20 tags; then ten times as many"
    )
    parser.add_argument(
        "--patience", type=float, default=10.0, metavar="S", help="no repetition of what took longer (%(default)s)"
    )
    parser.add_argument("--limit", type=float, default=300.0, metavar="S", help="the end of a run (%(default)s)")
    parser.add_argument("--data", metavar="DIR", help="the registries' files; a tmpfs gives steadier numbers")
    parser.add_argument("--out", default="bench", metavar="PREFIX", help="PREFIX.md and PREFIX.json (%(default)s)")
    parser.add_argument(
        "--into", metavar="FILE", help="put the tables into this document too, in place of its last ones"
    )
    args = parser.parse_args()
    if args.into and not all(mark in Path(args.into).read_text(encoding="utf-8") for mark in table.MARKS):
        parser.error(f"--into: {args.into} has no lines {' and '.join(table.MARKS)}")
    args.rounds = args.rounds or (1 if args.quick else 3)
    for option, known in (("tools", tools.NAMES), ("only", scenarios.NAMES)):
        if unknown := set(filter(None, getattr(args, option).split(","))) - set(known):
            parser.error(f"--{option}: not known: {', '.join(sorted(unknown))}")
    return args


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
