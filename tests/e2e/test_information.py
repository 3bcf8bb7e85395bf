"""`version`, `completion` and help."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ocync import __version__
from ocync.lib.errors import ExitCode

if TYPE_CHECKING:
    from e2e.program import Program

COMMANDS = ("sync", "copy", "tags", "validate", "expand", "auth", "watch", "version", "completion")


@pytest.mark.parametrize("words", [("version",), ("--version",)], ids=" ".join)
def test_the_version_is_one_line(program: Program, words: tuple[str, ...]) -> None:
    done = program(*words)

    assert (done.code, done.err) == (0, ""), done
    assert done.out.startswith(f"ocync {__version__} (Python {sys.version_info.major}.")
    assert done.out.count("\n") == 1


def test_the_package_can_be_run_as_a_module(program: Program) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ocync", "version"],
        env=dict(program.environ),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, program("version").out)


def test_help_names_the_commands_and_the_exit_codes(program: Program) -> None:
    done = program("--help")

    assert (done.code, done.err) == (0, ""), done
    assert all(f"\n    {command} " in done.out for command in COMMANDS)
    assert all(f"\n  {code.value}  " in done.out for code in ExitCode)


@pytest.mark.parametrize("command", [*COMMANDS, "auth check"])
def test_each_command_has_help(program: Program, command: str) -> None:
    done = program(*command.split(), "--help")

    assert (done.code, done.err) == (0, ""), done
    assert done.out.startswith(f"usage: ocync {command} ")


BASH = """
source /dev/stdin
complete -p ocync
complete_ocync() { COMP_WORDS=(ocync "$@"); COMP_CWORD=$#; COMPREPLY=(); _shtab_ocync; echo "${COMPREPLY[@]}"; }
complete_ocync s
complete_ocync sync --dr
complete_ocync auth ''
complete_ocync validate oc
complete_ocync sync -c oc
"""


def test_the_completion_for_bash_completes_commands_and_options(program: Program) -> None:
    script = program("completion", "bash").out

    program.write("")

    done = subprocess.run(
        ["bash", "-c", BASH], cwd=program.folder, input=script, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    bound, *completed = done.stdout.splitlines()
    assert bound.endswith(" ocync")
    assert completed == ["sync", "--dry-run", "check", "ocync.yaml", "ocync.yaml"]


def test_the_completion_for_zsh_is_one_for_ocync(program: Program) -> None:
    done = program("completion", "zsh")

    assert done.code == 0, done
    assert done.out.startswith("#compdef ocync\n")
    assert all(f"\n    {command}:'" in done.out for command in COMMANDS)
