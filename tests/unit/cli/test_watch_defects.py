"""What nobody expects in a pass, under a program that is to make passes for ever."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from ocync.cli import parser, watch

CONFIG = """
registries: { src: { url: "oci:./source" }, dst: { url: "oci:./target" } }
mappings: [ { from: "team/${REPOSITORY:-app}", source: src, targets: dst } ]
"""


class Environment(Mapping[str, str]):
    """An environment that does something each time when a variable is looked for, and has none."""

    def __init__(self, name: str, *events: Callable[[], None]) -> None:
        self._name = name
        self._rest = iter(events)

    def __getitem__(self, name: str) -> str:
        if name == self._name:
            next(self._rest, bool)()
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def defect() -> None:
    raise ZeroDivisionError("a secret")


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def end_and_wait() -> None:
    """Give the loop, in the other thread, time to learn of the signal."""
    end()
    time.sleep(0.5)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `ocync watch` with hardly a pause between its passes."""

    def watched(environ: Mapping[str, str], *more: str) -> int:
        options = parser.build().parse_args(["watch", "-c", "ocync.yaml", "--health-port", "0", "--json", *more])
        options.interval = 0.01
        return watch.watch(options, environ)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "_SHORTEST_PAUSE", 0.01)
    Path("ocync.yaml").write_text(CONFIG)
    return watched


@pytest.mark.parametrize("verbosity", [(), ("-vv",)], ids=["", "-vv"])
def test_a_defect_fails_its_pass_alone(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], verbosity: tuple[str, ...]
) -> None:
    run(Environment("all_proxy", defect, end), *verbosity)

    out, err = capsys.readouterr()
    broken, next_one = map(json.loads, out.splitlines())
    assert (broken["exit_code"], broken["images"]) == (2, [])
    assert broken["error"] == {
        "kind": "internal",
        "message": "this pass: unexpected ZeroDivisionError; "
        "this is a defect of ocync: please report it with the output of -vv",
    }
    assert len(next_one["images"]) == 1
    assert "no image is looked at: this pass: unexpected ZeroDivisionError" in err
    assert ("Traceback" in err) is ("a secret" in err) is bool(verbosity)


def test_a_signal_while_the_configuration_is_read_begins_no_pass(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Environment("REPOSITORY", bool, end_and_wait)) == 0

    assert capsys.readouterr().out.count("\n") == 1
