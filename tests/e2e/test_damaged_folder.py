"""A folder whose disk has flipped a byte: it goes to no other repository, is found by an audit, and mended."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from scripted import ScriptedRegistry, build
from scripted.background import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.program import Program

SHARED = build.layer(4000, 1)
IMAGES = {name: build.image([SHARED, build.layer(500, seed)]) for seed, name in enumerate(("one", "two"), 2)}


@pytest.fixture
def source() -> Iterator[ScriptedRegistry]:
    with in_thread(ScriptedRegistry()) as registry:
        for name, image in IMAGES.items():
            registry.seed(name, "v1", image)
        yield registry


def passed(program: Program, source: ScriptedRegistry, *names: str, audit: str = "") -> dict[str, Any]:
    """Make a pass for some of the repositories; return its report."""
    document = {
        "global": {"audit": "off"},
        "registries": {"src": {"url": source.url}, "disk": {"url": "oci:mirror"}},
        "defaults": {"source": "src", "targets": "disk"},
        "mappings": [{"from": name} for name in names],
    }
    program.write(json.dumps(document))
    done = program("sync", "-c", "ocync.yaml", "--json", *([audit] if audit else []))
    assert done.code == 0, done
    report: dict[str, Any] = done.report
    return report


def sync(program: Program, source: ScriptedRegistry, *names: str, audit: str = "") -> dict[str, str]:
    """Make a pass for some of the repositories; return the reason of what was done for each."""
    images = passed(program, source, *names, audit=audit)["images"]
    return {image["source"].rpartition("/")[2]: image["reason"] for image in images}


def blob(program: Program, name: str) -> Path:
    return program.folder / "mirror" / name / "blobs" / "sha256" / SHARED.digest.rpartition(":")[2]


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)


def is_whole(file: Path) -> bool:
    return hashlib.sha256(file.read_bytes()).hexdigest() == file.name


def test_a_damaged_blob_is_not_handed_on(program: Program, source: ScriptedRegistry) -> None:
    sync(program, source, "one")
    flip(blob(program, "one"))

    assert sync(program, source, "one", "two") == {"one:v1": "up-to-date", "two:v1": "new"}

    assert is_whole(blob(program, "two"))
    assert not is_whole(blob(program, "one"))


def test_a_damaged_blob_is_found_by_an_audit_and_brought_again(program: Program, source: ScriptedRegistry) -> None:
    assert sync(program, source, "one", "two") == {"one:v1": "new", "two:v1": "new"}
    assert blob(program, "one").samefile(blob(program, "two"))
    flip(blob(program, "one"))

    assert set(sync(program, source, "one", "two", audit="--audit").values()) == {"repaired"}

    assert is_whole(blob(program, "one"))
    assert is_whole(blob(program, "two"))
    assert set(sync(program, source, "one", "two", audit="--audit=100").values()) == {"up-to-date"}


def test_it_is_told_what_was_repaired_and_when_it_was_looked_below(
    program: Program, source: ScriptedRegistry
) -> None:
    first = passed(program, source, "one", "two")
    blob(program, "one").unlink()

    mended = passed(program, source, "one", audit="--audit")
    later = passed(program, source, "one", "two")

    one, two = first["images"][0]["looked_below"], first["images"][1]["looked_below"]
    assert first["evidence"] == {"oldest": min(one, two), "known": 2, "unknown": 0}
    assert (mended["exit_code"], mended["stats"]["images_repaired"]) == (0, 1)
    assert mended["images"][0]["looked_below"] > max(one, two)
    # Nothing was looked below in this pass: it is known from the earlier ones.
    assert {image["source"].rpartition("/")[2]: image["looked_below"] for image in later["images"]} == {
        "one:v1": mended["images"][0]["looked_below"],
        "two:v1": next(each["looked_below"] for each in first["images"] if "/two:" in each["source"]),
    }
    assert later["stats"]["images_repaired"] == 0
