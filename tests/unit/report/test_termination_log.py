import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.report import termination_log
from reports import copied, failed, report


def test_the_summary_begins_with_the_exit_code() -> None:
    assert termination_log.summary(report(copied(), failed())).startswith(
        "1 of 2 images failed; 1 copied, 0 unchanged\n"
    )


def test_the_summary_of_the_worst_pass_fits() -> None:
    images = [failed(f"ü{number}:1", message="ß€🐍" * 200 + str(number)) for number in range(500)]
    shown = termination_log.summary(report(*images))
    assert len(shown.encode()) <= 4096
    assert shown.endswith("\n[cut]\n")


@given(st.text(max_size=50), st.integers(min_value=0, max_value=4200))
def test_a_message_is_cut_between_characters(text: str, length: int) -> None:
    whole = (text * length)[: length + 1]
    shown = termination_log.fit(whole)
    assert len(shown.encode()) <= 4096
    if shown != whole:
        assert whole.startswith(shown.removesuffix("\n[cut]\n"))
        assert len(whole.encode()) > 4096
        assert len(shown.encode()) > 4090


def test_half_a_character_of_a_broken_name_stops_nothing() -> None:
    assert termination_log.fit("a\ud800b") == "a?b"


def test_what_was_in_the_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "termination-log"
    file.write_text("from before, and longer than what comes")
    assert termination_log.write(file, "short")
    assert file.read_text() == "short"


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert not termination_log.write(tmp_path / "termination-log", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_and_a_pipe_without_reader_are_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not termination_log.write(tmp_path / "pipe", "text")
    assert not termination_log.write(tmp_path, "text")
    assert not termination_log.write(Path(os.devnull), "text")


@pytest.mark.parametrize(("mode", "content"), [(0o444, "before"), (0o666, "after")], ids=["read-only", "writable"])
def test_a_file_that_may_not_be_written_is_left_alone(tmp_path: Path, mode: int, content: str) -> None:
    file = tmp_path / "termination-log"
    file.write_text("before")
    file.chmod(mode)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from ocync.report import termination_log\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(termination_log.write(Path(sys.argv[1]), 'after'))"
    )
    handle = os.open(tmp_path, os.O_RDONLY)
    # By a descriptor: the folders above are open to root alone.
    done = subprocess.run(
        [sys.executable, "-c", code, f"/proc/self/fd/{handle}/termination-log"], pass_fds=[handle], check=False
    )
    os.close(handle)
    assert done.returncode == (content == "after")
    assert file.read_text() == content


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 100_000])
def test_a_written_file_is_never_larger_than_what_is_read_of_it(tmp_path: Path, size: int) -> None:
    file = tmp_path / "termination-log"
    file.touch()
    assert termination_log.write(file, "x" * size)
    assert file.stat().st_size == min(size, 4096)
