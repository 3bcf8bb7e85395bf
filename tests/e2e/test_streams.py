"""Standard output and error that are closed, full, without a reader, or of another encoding."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from e2e import corpus
from scripted import faults

if TYPE_CHECKING:
    from e2e.program import Done, Program
    from scripted import ScriptedRegistry

FULL = "ocync: can't write to standard output: no space left on device"
SYNC = "ocync sync -c ocync.yaml"
WRONG = f"GITHUB_TOKEN=expired-yesterday {SYNC}"


def bash(program: Program, command: str) -> Done:
    """Run a command line of people who use pipes; the exit code is that of the pipe's first command."""
    return program.shell(f"bash -c {shlex.quote(f'{command}; exit ${{PIPESTATUS[0]}}')}")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        pytest.param("ocync version > /dev/full", 2, FULL, id="a result that can't be written"),
        pytest.param("ocync completion bash > /dev/full", 2, FULL, id="a long one"),
        pytest.param("ocync expand ocync.yaml > /dev/full", 2, FULL, id="an effective configuration"),
        pytest.param("ocync version >&-", 0, "", id="stdout closed"),
        pytest.param("ocync sync -c nowhere.yaml 2>&-", 3, "", id="stderr closed"),
        pytest.param("ocync sync -c nowhere.yaml 2> /dev/full", 3, "", id="stderr full"),
        pytest.param("ocync sync -c nowhere.yaml > /dev/full 2>&1", 3, "", id="both full"),
        pytest.param("ocync completion zsh | true", 0, "", id="no reader"),
        pytest.param("ocync --help | true", 0, "", id="no reader of help"),
    ],
)
def test_exit_codes_mean_the_same_whatever_can_be_written(
    ready: Program, command: str, code: int, said: str
) -> None:
    done = bash(ready, command)

    assert (done.code, done.err.strip()) == (code, said), done


@pytest.mark.parametrize(
    ("command", "code"),
    [
        pytest.param(f"{SYNC} > /dev/full", 0, id="full"),
        pytest.param(f"{SYNC} --json > /dev/full", 0, id="full, with JSON"),
        pytest.param(f"{SYNC} >&-", 0, id="closed"),
        pytest.param(f"{SYNC} 2>&-", 0, id="stderr closed"),
        pytest.param(f"{SYNC} | true", 0, id="no reader"),
        pytest.param(f"{WRONG} | true", 4, id="no reader of a failure"),
        pytest.param(f"{WRONG} -q 2> /dev/full", 4, id="a failure that can't be told"),
        pytest.param(f"{WRONG} -vv 2>&1 | true", 4, id="no reader of the log"),
    ],
)
def test_a_pass_is_made_and_has_its_exit_code_whether_it_can_be_shown_or_not(
    ready: Program, target: ScriptedRegistry, command: str, code: int
) -> None:
    message = ready.folder / "termination-log"
    message.touch()

    done = bash(ready, command.replace("sync", f"sync --termination-log {message}", 1))

    assert done.code == code, done
    assert "Traceback" not in done.said
    assert sum(len(repository.tags) for repository in target.repositories.values()) == (0 if code else corpus.COUNT)
    assert "requests (" in message.read_text()


def test_a_dry_run_that_nobody_reads_to_its_end_is_no_failure(ready: Program, source: ScriptedRegistry) -> None:
    for number in range(300):
        source.seed("chainguard/static", f"{number:0128}", corpus.image(1))

    done = bash(ready, f"{SYNC} --dry-run | head -n 1")

    assert (done.code, done.err) == (0, ""), done
    assert done.out.count("\n") == 1


def test_words_that_the_encoding_lacks_are_written_in_another_way(ready: Program, source: ScriptedRegistry) -> None:
    source.on("GET", "/tags/list", respond=faults.error(404, "NAME_UNKNOWN", "パン is gone"), authorized=True)

    done = ready.knowing(PYTHONIOENCODING="latin-1", PYTHONUTF8="0")("sync", "-c", "ocync.yaml")

    assert done.code == 2, done
    assert "\\u30d1\\u30f3 is gone" in done.out
