import os
import stat
import threading
from pathlib import Path

import pytest

from ocync.lib.errors import ErrorKind, StorageError
from ocync.report import metrics, textfile
from reports import copied, failed, report


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def test_the_file_holds_the_metrics_for_everybody_to_read(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        textfile.write(tmp_path / "ocync.prom", report(copied()), interval=60)
    finally:
        os.umask(before)
    file = tmp_path / "ocync.prom"
    assert file.read_bytes() == metrics.render(report(copied()), interval=60)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    for _ in range(3):
        textfile.write(tmp_path / "ocync.prom", report(copied()))
    assert names_in(tmp_path) == ["ocync.prom"]


def test_the_last_success_survives_passes_that_are_none(tmp_path: Path) -> None:
    file, good = tmp_path / "ocync.prom", report(copied())
    textfile.write(file, good)
    textfile.write(file, report(failed()))
    textfile.write(file, report(copied(), failed(kind=ErrorKind.SERVER)))
    assert textfile.last_success_in(file) == good.ended_at.timestamp()
    assert 'ocync_last_run_status{status="partial"} 1.0' in file.read_text()


def test_without_a_success_there_is_no_such_series(tmp_path: Path) -> None:
    textfile.write(tmp_path / "ocync.prom", report(failed()))
    assert metrics.LAST_SUCCESS not in (tmp_path / "ocync.prom").read_text()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ocync_last_success_timestamp_seconds",
        b"ocync_last_success_timestamp_seconds 1.e.1\n",
        b"\xff\xfe\x00",
        b"x" * 100,
    ],
    ids=["empty", "no value", "no number", "no text", "something else"],
)
def test_a_damaged_file_is_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ocync.prom"
    file.write_bytes(content)
    assert textfile.last_success_in(file) is None
    textfile.write(file, report(copied()))
    assert textfile.last_success_in(file) is not None


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    file, whole = tmp_path / "ocync.prom", report(copied())
    textfile.write(file, whole)
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(file.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        textfile.write(file, whole)
    done.set()
    reader.join()
    assert seen == {metrics.render(whole)}


def test_a_link_stays_one_and_the_file_behind_it_is_replaced(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "ocync.prom").symlink_to(real / "data.prom")
    textfile.write(tmp_path / "ocync.prom", report(copied()))
    assert (tmp_path / "ocync.prom").is_symlink()
    assert names_in(real) == ["data.prom"]


def test_a_folder_that_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"can't write metrics to .*/none/ocync.prom: No such file.*folder that exists"
    ):
        textfile.write(tmp_path / "none" / "ocync.prom", report(copied()))


def test_a_file_that_can_not_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "ocync.prom").mkdir()
    with pytest.raises(StorageError):
        textfile.write(tmp_path / "ocync.prom", report(copied()))
    assert names_in(tmp_path) == ["ocync.prom"]
