"""The file between passes: what happens to it, and what may have happened to it."""

from __future__ import annotations

import fcntl
import os
import random
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ocync.cache import entries, file
from ocync.cache.hints import Hints
from ocync.lib.errors import StorageError
from ocync.oci.digest import Digest

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_700_000_000.0
DAY = 86400.0
HOST = "registry.example"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / file.NAME


def digest(number: int) -> Digest:
    return Digest.of(b"%d" % number)


def learned(path: Path, *numbers: int, now: float = NOW, repository: str = "app", tidy: bool = False) -> None:
    """Save that a repository holds blobs."""
    hints = Hints(clock=lambda: now)
    for number in numbers:
        hints.learn_blob(HOST, repository, digest(number))
    file.save(path, hints.take_changes(), now, tidy=tidy)


def opened(path: Path, now: float = NOW) -> Hints:
    hints = Hints(clock=lambda: now)
    hints.add(file.load(path, now).entries)
    return hints


def known(path: Path, number: int, now: float = NOW) -> bool:
    return opened(path, now).holders(HOST, digest(number)) != []


def test_what_was_saved_is_loaded(path: Path) -> None:
    learned(path, 1)
    learned(path, 2, repository="other")

    hints = opened(path)

    assert hints.holders(HOST, digest(1)) == ["app"]
    assert hints.holders(HOST, digest(2)) == ["other"]
    assert hints.holders(HOST, digest(3)) == []


def test_loading_a_missing_file_returns_nothing_and_creates_none(path: Path) -> None:
    assert file.load(path, NOW) == file.Opened()
    assert not path.parent.exists()


@pytest.mark.parametrize("tidy", [False, True])
def test_what_was_forgotten_is_gone_from_the_file(path: Path, *, tidy: bool) -> None:
    learned(path, 1, 2)
    hints = opened(path)
    hints.forget_blob(HOST, "app", digest(1))

    file.save(path, hints.take_changes(), NOW, tidy=tidy)

    assert not known(path, 1)
    assert known(path, 2)


def test_only_its_owner_can_read_file_and_folder(path: Path) -> None:
    learned(path, 1)
    path.chmod(0o644)

    learned(path, 2)

    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_entries_that_were_not_learned_again_are_dropped_after_a_month(path: Path) -> None:
    learned(path, 1)
    learned(path, 2, now=NOW + 20 * DAY)

    later = NOW + 31 * DAY
    assert not known(path, 1, later)
    learned(path, now=later, tidy=True)

    assert not known(path, 1)
    assert known(path, 2, later)


def test_a_file_with_many_obsolete_lines_is_rewritten(path: Path) -> None:
    learned(path, 1)
    assert not file.load(path, NOW).is_wasteful
    for number in range(120):
        learned(path, 1, 2, now=NOW + number)
    before = path.stat().st_size
    assert file.load(path, NOW + 120).is_wasteful

    learned(path, 3, now=NOW + 120, tidy=True)

    assert path.stat().st_size < before / 50
    assert all(known(path, number, NOW + 120) for number in (1, 2, 3))
    assert not file.load(path, NOW + 120).is_wasteful


def test_the_file_does_not_grow_beyond_its_bound_and_keeps_the_latest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "MAX_BYTES", 100_000)
    monkeypatch.setattr(entries, "MAX_READ", 200_000)
    for turn in range(20):
        learned(path, *range(turn * 100, turn * 100 + 100), now=NOW + turn)
        assert path.stat().st_size <= 200_000

    there = [known(path, number, NOW + 20) for number in range(0, 2000, 50)]
    assert 10 <= sum(there) < 30
    assert all(there[-sum(there) :])


@pytest.mark.parametrize("content", [b"something else\n" * 100, b"\0" * 5000, b"ocync-mem", b"SQLite format 3\0"])
def test_a_file_without_its_header_is_replaced_and_kept_aside(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    found = file.load(path, NOW)
    assert found.damage == "its format is unknown"
    assert found.entries == {}
    assert path.read_bytes() == content
    learned(path, 1)

    assert known(path, 1)
    assert path.with_suffix(".damaged").read_bytes() == content
    assert file.load(path, NOW).damage == ""


def test_an_empty_file_is_replaced(path: Path) -> None:
    """As a file system may leave it when the power fails."""
    learned(path, 1)
    path.write_bytes(b"")

    learned(path, 2)

    assert known(path, 2)


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_the_intact_lines_of_a_truncated_file_are_read(path: Path, keep: float) -> None:
    learned(path, *range(200))
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * keep)])

    learned(path, 1000)

    there = sum(known(path, number) for number in range(200))
    assert 200 * keep - 3 < there <= 200 * keep
    assert known(path, 1000)


@pytest.mark.parametrize("seed", range(150))
def test_bits_that_are_lost_anywhere_cost_at_most_what_was_known(path: Path, seed: int) -> None:
    learned(path, *range(20))
    learned(path, *range(20), repository="other")
    chance, data = random.Random(seed), bytearray(path.read_bytes())
    reach = chance.choice([20, 300, len(data)])
    for _ in range(chance.choice([1, 3, 30, 300])):
        data[chance.randrange(reach)] = chance.randrange(256)
    path.write_bytes(data[: chance.choice([len(data), len(data), chance.randrange(len(data))])])

    hints = opened(path)

    for number in range(20):
        assert set(hints.holders(HOST, digest(number))) <= {"app", "other"}
        hints.learn_blob(HOST, "third", digest(number))
    file.save(path, hints.take_changes(), NOW, tidy=chance.random() < 0.5)
    assert all("third" in opened(path).holders(HOST, digest(number)) for number in range(20))


def test_a_file_that_is_damaged_during_a_pass_takes_what_the_pass_learned(path: Path) -> None:
    learned(path, 1)
    path.write_bytes(b"something else\n" * 100)

    learned(path, 2)

    assert known(path, 2)


def test_a_file_that_others_made_too_long_is_not_read_to_its_end(path: Path) -> None:
    learned(path, 1)
    with path.open("r+b") as stream:
        stream.truncate(100 * 1024 * 1024 * 1024)

    # To read it takes more hints and time than there is.
    assert "too long" in file.load(path, NOW).damage
    learned(path, 2)

    assert known(path, 2)


def test_files_of_other_versions_are_left_alone(path: Path) -> None:
    path.parent.mkdir()
    others = [path.with_name(name) for name in ("memory.sqlite", "memory-3.txt")]
    for other in others:
        other.write_bytes(b"precious")

    learned(path, 1, tidy=True)

    assert [other.read_bytes() for other in others] == [b"precious"] * 2


@pytest.mark.parametrize("name", [file.NAME, "memory-2.lock", "memory-2.new"])
def test_a_link_or_a_folder_in_its_place_is_refused(path: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    path.parent.mkdir()
    other = path.with_name(name)
    other.symlink_to(elsewhere)

    if name.endswith(".new"):
        # Nobody else's file is behind it, so it is only taken away.
        learned(path, 1)
        assert known(path, 1)
    else:
        with pytest.raises(StorageError, match="symbolic link"):
            learned(path, 1)
    other.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    other.mkdir()
    with pytest.raises(StorageError, match="directory"):
        learned(path, 1)
    assert elsewhere.read_bytes() == b"precious"


def test_a_pipe_in_its_place_is_not_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)

    with pytest.raises(StorageError, match="is not a file of this user"):
        file.load(path, NOW)
    with pytest.raises(StorageError, match="is not a file of this user"):
        learned(path, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_believed(path: Path) -> None:
    learned(path, 1)
    os.chown(path, 12345, 12345)

    with pytest.raises(StorageError, match="is not a file of this user"):
        file.load(path, NOW)


def test_a_folder_that_can_not_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")

    with pytest.raises(StorageError, match="not a directory"):
        file.load(tmp_path / "cache" / file.NAME, NOW)
    with pytest.raises(StorageError, match="file exists"):
        learned(tmp_path / "cache" / file.NAME, 1)


def test_waiting_for_the_lock_of_another_process_has_a_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_LOCK_TIMEOUT", 0.1)
    learned(path, 1)
    with path.with_suffix(".lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(StorageError, match="locked by another process"):
            learned(path, 2)
        assert known(path, 1)
    learned(path, 2)

    assert known(path, 2)


def test_two_passes_at_once_add_to_the_same_file(path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from ocync.cache import file
from ocync.cache.hints import Hints
from ocync.oci.digest import Digest
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 50):
    hints = Hints()
    hints.learn_blob("registry.example", "app", Digest.of(b"%d" % number))
    file.save(Path(sys.argv[1]), hints.take_changes(), time.time(), tidy=number % 5 == 0)
"""
    passes = [subprocess.Popen([sys.executable, "-c", script, str(path), str(start)]) for start in (0, 1000)]

    assert [one.wait(30) for one in passes] == [0, 0]
    hints = opened(path, time.time())
    assert all(hints.holders(HOST, digest(start + number)) for start in (0, 1000) for number in range(50))
