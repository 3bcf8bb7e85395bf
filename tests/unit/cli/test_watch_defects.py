"""What nobody expects in a pass, under a program that is to make passes for ever."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from ocync.cli import parser, watch

CONFIG = """
registries: { src: { url: "oci:./source" }, dst: { url: "oci:./target" } }
mappings: [ { from: team/app, source: src, targets: dst } ]
"""


class Environment(Mapping[str, str]):
    """An environment that does something each time when a pass looks for its proxies."""

    def __init__(self, *events: Callable[[], None]) -> None:
        self._rest = iter(events)

    def __getitem__(self, name: str) -> str:
        if name == "all_proxy":
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


@pytest.mark.parametrize("verbosity", [(), ("-vv",)], ids=["", "-vv"])
def test_a_defect_fails_its_pass_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verbosity: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "_SHORTEST_PAUSE", 0.01)
    Path("ocync.yaml").write_text(CONFIG)
    options = parser.build().parse_args(["watch", "-c", "ocync.yaml", "--health-port", "0", "--json", *verbosity])
    options.interval = 0.01

    watch.watch(options, Environment(defect, end))

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
