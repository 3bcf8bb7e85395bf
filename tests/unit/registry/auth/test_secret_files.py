"""Secrets in files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ocync.config.model import Secret
from ocync.lib.errors import AuthError, OcyncError, StorageError
from ocync.registry.auth.secret_files import MAX_SECRET, reveal

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = "registries.src.token_file"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b" s3cret \n\n", " s3cret \n"),
        ("sécret\n".encode(), "sécret"),
        (b"x" * MAX_SECRET, "x" * MAX_SECRET),
    ],
)
async def test_a_file_is_read_without_the_line_end_of_an_editor(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "token").write_bytes(content)

    assert await reveal(Secret(file=tmp_path / "token", origin=ORIGIN)) == expected


async def test_a_kubernetes_secret_is_read_through_its_links(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "token").write_text("s3cret")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "token").symlink_to("..data/token")

    assert await reveal(Secret(file=tmp_path / "token")) == "s3cret"


@pytest.mark.parametrize(
    ("make", "kind", "why"),
    [
        pytest.param(lambda path: None, StorageError, "No such file or directory", id="absent"),
        pytest.param(lambda path: path.mkdir(), StorageError, "it is not a file", id="a folder"),
        pytest.param(os.mkfifo, StorageError, "it is not a file", id="a pipe"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), StorageError, "it is not a file", id="a device"),
        pytest.param(lambda path: path.write_bytes(b"s3cret\xff"), StorageError, "it is not UTF-8", id="not text"),
        pytest.param(lambda path: path.write_bytes(b"s" * 70_000), StorageError, "larger than 65536", id="large"),
        pytest.param(lambda path: path.touch(), AuthError, "is empty", id="empty"),
        pytest.param(lambda path: path.write_bytes(b"\n"), AuthError, "is empty", id="a line end"),
    ],
)
async def test_a_file_that_can_not_be_used_is_named(
    tmp_path: Path, make: object, kind: type[OcyncError], why: str
) -> None:
    path = tmp_path / "token"
    make(path)  # type: ignore[operator]

    with pytest.raises(kind, match=why) as caught:
        await reveal(Secret(file=path, origin=ORIGIN))

    assert f"{ORIGIN} ({path})" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_value_is_as_it_is_and_an_empty_one_names_its_origin() -> None:
    assert await reveal(Secret(" s3cret\n")) == " s3cret\n"
    with pytest.raises(AuthError, match=r"registries\.src\.token \(\$\{TOKEN\}\) is empty"):
        await reveal(Secret("", origin="registries.src.token (${TOKEN})"))
