from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

import pytest

from ocync.layout.atomic_file import MAX_AGE, Draft, sweep
from ocync.lib.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "drafts").mkdir()
    return tmp_path / "drafts"


def begun(folder: Path) -> Draft:
    draft = Draft(folder)
    draft.open()
    draft.write([b"half ", b"of it"])
    return draft


def test_a_draft_appears_whole_at_its_destination(folder: Path) -> None:
    draft = begun(folder)
    destination = folder.parent / "there"
    assert not destination.exists()

    draft.commit(destination)
    draft.discard()

    assert destination.read_bytes() == b"half of it"
    assert list(folder.iterdir()) == []


def test_others_may_read_what_was_written_as_the_umask_says(folder: Path) -> None:
    old = os.umask(0o027)
    try:
        begun(folder).commit(folder.parent / "there")
    finally:
        os.umask(old)

    assert stat.S_IMODE((folder.parent / "there").stat().st_mode) == 0o640


def test_a_discarded_draft_leaves_nothing(folder: Path) -> None:
    draft = begun(folder)
    draft.discard()
    draft.discard()

    assert list(folder.iterdir()) == []


def test_a_draft_of_a_living_writer_is_not_swept(folder: Path) -> None:
    draft = begun(folder)

    assert sweep(folder, now=time.time()) == 0
    draft.commit(folder.parent / "there")


def test_a_draft_without_a_writer_is_swept(folder: Path) -> None:
    (folder / "draft-1").write_bytes(b"left by a crash")

    assert sweep(folder, now=time.time()) == 1
    assert list(folder.iterdir()) == []


def test_a_draft_not_written_to_for_a_day_is_swept_and_its_writer_told(folder: Path) -> None:
    draft = begun(folder)

    assert sweep(folder, now=time.time() + MAX_AGE + 1) == 1
    with pytest.raises(StorageError, match=r"can't write .*/there"):
        draft.commit(folder.parent / "there")
    draft.discard()
    assert not (folder.parent / "there").exists()


def test_only_drafts_are_swept(folder: Path) -> None:
    (folder / "lock").touch()
    (folder / "draft-folder").mkdir()
    (folder / "draft-link").symlink_to(folder / "lock")

    assert sweep(folder, now=time.time() + 2 * DAY) == 0
    assert len(list(folder.iterdir())) == 3
