"""The file between passes: what happens to it, and what may have happened to it."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ocync.memory import file, tables
from ocync.memory.facts import Belief, Kind
from ocync.memory.memory import Memory
from ocync.oci.digest import Digest

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_700_000_000_000
DAY = 86_400_000
PLACE = "registry.example"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / file.NAME


def digest(number: int) -> Digest:
    return Digest.of(b"%d" % number)


def learned(path: Path, *numbers: int, now: int = NOW, repository: str = "app") -> None:
    """Save that a repository holds blobs."""
    memory = Memory(clock=lambda: now / 1000)
    for number in numbers:
        memory.learn_blob(PLACE, repository, digest(number))
    file.save(path, memory.take_changes())


def opened(path: Path, now: int = NOW, *, ttl: float = 0.0) -> Memory:
    return Memory(ttl=ttl, clock=lambda: now / 1000, connection=file.load(path).connection)


def known(path: Path, number: int, now: int = NOW) -> bool:
    return opened(path, now).holders(PLACE, digest(number)) != []


def test_what_was_saved_is_loaded(path: Path) -> None:
    learned(path, 1)
    learned(path, 2, repository="other")

    memory = opened(path)

    assert memory.holders(PLACE, digest(1)) == ["app"]
    assert memory.holders(PLACE, digest(2)) == ["other"]
    assert memory.holders(PLACE, digest(3)) == []


def test_what_was_forgotten_is_gone_from_the_file(path: Path) -> None:
    learned(path, 1, 2)
    memory = opened(path)
    memory.forget_blob(PLACE, "app", digest(1))

    file.save(path, memory.take_changes())

    assert not known(path, 1)
    assert known(path, 2)


def test_a_repository_that_was_forgotten_stays_so_whoever_saves_later(path: Path) -> None:
    learned(path, 1)
    one, other = opened(path, NOW + 1000), opened(path, NOW + 1000)
    one.forget_repository(PLACE, "app")
    file.save(path, one.take_changes())

    other.learn_blob(PLACE, "other", digest(2))
    file.save(path, other.take_changes())

    assert not known(path, 1, NOW + 2000)
    assert known(path, 2, NOW + 2000)


def test_only_its_owner_can_read_file_and_folder(path: Path) -> None:
    learned(path, 1)
    path.chmod(0o644)

    opened(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_facts_that_nobody_learned_again_are_dropped_after_a_month(path: Path) -> None:
    learned(path, 1)
    learned(path, 2, now=NOW + 20 * DAY)

    later = NOW + 31 * DAY
    file.save(path, Memory().take_changes(), tidy_at=later)

    assert not known(path, 1, later)
    assert known(path, 2, later)


def test_the_oldest_facts_go_when_there_are_too_many(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 100)
    now = [NOW - 1]
    memory = Memory(clock=lambda: now[0] / 1000)
    memory.learn_owned(PLACE, "app")
    for number in range(150):
        now[0] = NOW + number
        memory.learn_blob(PLACE, "app", digest(number))
    assert memory.is_owned(PLACE, "app")
    file.save(path, memory.take_changes(), tidy_at=NOW + 1000)

    memory = opened(path, NOW + 1000)

    there = [number for number in range(150) if memory.holders(PLACE, digest(number))]
    assert there == list(range(150 - len(there), 150))
    assert 50 <= len(there) <= 100
    # What is not known of a repository may be there now.
    assert not memory.is_owned(PLACE, "app")


def test_the_file_does_not_grow_beyond_its_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_BYTES", 1024 * 1024)
    for turn in range(8):
        memory = opened(path, NOW + turn)
        for number in range(2000):
            subject = Digest.of(b"%d %d" % (turn, number))
            memory.learn_artifacts(PLACE, "app", subject, [subject])
        try:
            file.save(path, memory.take_changes(), tidy_at=NOW + turn)
        except file.UnusableFileError as error:
            assert "full" in str(error)

    assert path.stat().st_size <= 1024 * 1024
    (rows,) = sqlite3.connect(path).execute("SELECT count(*) FROM fact").fetchone()
    assert rows > 2000


@pytest.mark.parametrize("damage", ["not sqlite", "cut", "overwritten", "no table", "other columns"])
def test_a_damaged_file_is_started_anew_with_a_remark(path: Path, damage: str) -> None:
    learned(path, *range(2000))
    raw = path.read_bytes()
    connection = sqlite3.connect(path)
    match damage:
        case "not sqlite":
            path.write_bytes(b"something else\n" * 100)
        case "cut":
            path.write_bytes(raw[: len(raw) // 2])
        case "overwritten":
            path.write_bytes(raw[:8192] + os.urandom(len(raw) - 8192))
        case "no table":
            connection.execute("DROP TABLE fact")
        case "other columns":
            connection.execute("ALTER TABLE fact RENAME COLUMN value TO worth")
    connection.commit()
    connection.close()

    found = file.load(path)

    assert "damaged" in found.remark
    assert not found.unwritable
    assert Memory(connection=found.connection).holders(PLACE, digest(1)) == []
    learned(path, 1)
    assert known(path, 1)


@pytest.mark.parametrize("seed", range(150))
def test_bits_that_are_lost_anywhere_cost_at_most_what_was_known(path: Path, seed: int) -> None:
    learned(path, *range(40))
    chance = random.Random(seed)
    data = bytearray(path.read_bytes())
    # The beginning holds the header and the schema, of which most errors are.
    for _ in range(chance.choice([1, 20, 200])):
        data[chance.randrange(chance.choice([200, 4096, len(data)]))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)

    for read in (file.peek, file.load):
        try:
            connection = read(path).connection
            Memory(connection=connection).holders(PLACE, digest(1))
            connection.close()
        except file.UnusableFileError as error:
            assert str(error)
    try:
        learned(path, 1)
    except file.UnusableFileError as error:
        assert str(error)


@pytest.mark.parametrize("seed", range(150))
def test_a_file_with_any_damage_is_read_or_started_anew_and_never_an_error(path: Path, seed: int) -> None:
    learned(path, *range(20))
    learned(path, *range(20), repository="other")
    chance, data = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 3, 30, 300])):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path.write_bytes(data[: chance.choice([len(data), len(data), chance.randrange(len(data))])])

    try:
        memory = Memory(ttl=1.0, clock=lambda: NOW / 1000, connection=file.load(path).connection)
    except file.UnusableFileError as error:
        assert re.search("another program|later version", str(error))
        return
    for number in range(20):
        assert set(memory.holders(PLACE, digest(number))) <= {"app", "other"}
        memory.learn_blob(PLACE, "app", digest(number))
        assert memory.blob(PLACE, "app", digest(number)) is Belief.FRESH
    memory.forget_repository(PLACE, "app")
    memory.all()
    file.save(path, memory.take_changes(), tidy_at=NOW)


def test_a_name_that_is_no_text_any_more_is_that_of_no_repository(path: Path) -> None:
    learned(path, 1)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE repository SET place = CAST(x'ff80' AS TEXT)")
    connection.commit()
    connection.close()

    for read in (file.peek, file.load):
        connection = read(path).connection
        assert Memory(connection=connection).holders(PLACE, digest(1)) == []
        connection.close()


def test_a_file_that_is_damaged_during_a_pass_takes_what_the_pass_learned(path: Path) -> None:
    learned(path, 1)
    path.write_bytes(b"something else\n" * 100)

    learned(path, 2)

    assert known(path, 2)


@pytest.mark.parametrize("column", ["key", "value", "learned", "mark", "kind", "repository"])
def test_a_row_that_was_changed_behind_our_back_is_not_believed(path: Path, column: str) -> None:
    memory = Memory(clock=lambda: NOW / 1000)
    subject, other = digest(1), digest(2)
    memory.learn_artifacts(PLACE, "app", subject, [other])
    memory.learn_artifacts(PLACE, "other", other, [other])
    file.save(path, memory.take_changes())
    connection = sqlite3.connect(path)
    key, number = connection.execute("SELECT key, repository FROM fact ORDER BY repository").fetchone()
    changed = {
        "key": b"\1" + bytes.fromhex(other.encoded),
        "value": b"fingerprinu",
        "learned": NOW - 1,
        "mark": 7,
        "kind": Kind.BARE,
        "repository": 12345,
    }[column]
    connection.execute(f"UPDATE fact SET {column} = ? WHERE key = ? AND repository = ?", (changed, key, number))
    connection.commit()
    connection.close()

    memory = opened(path, ttl=3600.0)

    asked = [(repository, what) for repository in ("app", "other") for what in (subject, other)]
    assert sum(memory.has_artifacts(PLACE, repository, what, [other]) for repository, what in asked) == 1
    assert not any(memory.has_no_referrers(PLACE, repository, what) for repository, what in asked)


def test_a_file_of_a_later_version_is_left_alone(path: Path) -> None:
    learned(path, 1)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {tables.VERSION + 1}")
    connection.close()
    before = path.read_bytes()

    with pytest.raises(file.UnusableFileError, match="a later version of ocync has written it"):
        file.load(path)
    with pytest.raises(file.UnusableFileError, match="a later version"):
        learned(path, 2)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.commit()
    connection.close()
    path.chmod(0o600)
    before = path.read_bytes()

    with pytest.raises(file.UnusableFileError, match="another program"):
        file.load(path)
    assert path.read_bytes() == before


def test_a_file_of_an_earlier_version_is_started_anew(path: Path) -> None:
    learned(path, 1)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 0")
    connection.close()

    assert not known(path, 1)
    learned(path, 2)
    assert known(path, 2)


def test_a_link_or_a_folder_in_its_place_is_refused(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    path.parent.mkdir()
    path.symlink_to(elsewhere)

    with pytest.raises(file.UnusableFileError, match="not a file"):
        file.load(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(file.UnusableFileError, match="not a file"):
        file.load(path)
    assert elsewhere.read_bytes() == b"precious"


def test_a_folder_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")

    with pytest.raises(file.UnusableFileError, match=r"not a directory|file exists"):
        file.load(tmp_path / "cache" / file.NAME)


def test_two_passes_at_once_add_to_the_same_file(path: Path) -> None:
    script = """
import sys
from pathlib import Path
from ocync.memory import file
from ocync.memory.memory import Memory
from ocync.oci.digest import Digest
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 50):
    memory = Memory()
    memory.learn_blob("registry.example", "app", Digest.of(b"%d" % number))
    file.save(Path(sys.argv[1]), memory.take_changes())
"""
    passes = [subprocess.Popen([sys.executable, "-c", script, str(path), str(start)]) for start in (0, 1000)]

    assert [one.wait(30) for one in passes] == [0, 0]
    memory = opened(path, int(time.time() * 1000))
    assert all(memory.holders(PLACE, digest(start + number)) for start in (0, 1000) for number in range(50))
