from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from ocync.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Broken(Mapping[str, str]):
    """An environment that fails whoever looks into it."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __getitem__(self, name: str) -> str:
        raise self._error

    def __iter__(self) -> Iterator[str]:
        raise self._error

    def __len__(self) -> int:
        raise self._error


def sync(folder: Path, environ: Mapping[str, str], *flags: str) -> int:
    file = folder / "ocync.yaml"
    file.write_text("registries: { src: { url: cgr.dev } }\nmappings: []\n")
    return run(["sync", "-c", str(file), *flags], environ)


def test_a_defect_is_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = sync(tmp_path, Broken(ZeroDivisionError("secret")))

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err == "ocync: unexpected ZeroDivisionError; run with -vv for a traceback, and please report it\n"


def test_a_defect_has_a_traceback_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync(tmp_path, Broken(ZeroDivisionError()), "-vv") == 2

    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_defect_shows_no_traceback_with_less(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sync(tmp_path, Broken(ZeroDivisionError()), "-v") == 2

    assert "Traceback" not in capsys.readouterr().err


def test_an_interrupt_before_the_pass_is_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sync(tmp_path, Broken(KeyboardInterrupt())) == 5

    assert capsys.readouterr().err == "ocync: interrupted\n"


def test_each_problem_of_a_file_is_a_line_and_nothing_stands_before_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ocync.yaml"
    file.write_text("registry: {}\nmapping: {}\n")

    assert run(["validate", str(file)], {}) == 3

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith(f"{file}:") for line in lines)


def test_proxy_variables_that_are_wrong_are_a_configuration_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync(tmp_path, {"HTTPS_PROXY": "socks5://me:hunter2@proxy"}) == 3

    err = capsys.readouterr().err
    assert "HTTPS_PROXY" in err
    assert "hunter2" not in err


@pytest.mark.parametrize("words", [["--help"], ["sync", "--help"], ["--version"]], ids=" ".join)
def test_help_and_version_end_with_0(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(words, {})

    assert ended.value.code == 0
