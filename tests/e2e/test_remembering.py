"""What a run leaves for the next one: a file beside the configuration, or an artifact in a registry."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from e2e import corpus
from e2e.accounts import PASSWORD, TOKEN, VARIABLES, forms
from scripted import build, faults

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry

SYNC = ("sync", "-c", "ocync.yaml", "--json")


def added(ready: Program, text: str) -> None:
    ready.write((ready.folder / "ocync.yaml").read_text() + text)


def new_tag(source: ScriptedRegistry) -> None:
    """Put an image into one repository that consists of what another one holds."""
    other = next(iter(source.repositories["chainguard/static"].tags.values()))
    manifests = list(source.repositories["chainguard/static"].tree(other))
    blobs = {entry["digest"] for manifest in manifests for entry in manifest.blobs}
    contents = source.repositories["chainguard/static"].blobs
    image = build.Image(manifests=tuple(manifests), blobs={digest: contents[digest] for digest in blobs})
    source.seed("chainguard/python", "borrowed", image)


def test_the_next_run_mounts_what_the_last_one_brought(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    assert ready(*SYNC).code == 0
    new_tag(source)
    source.requests.clear()

    done = ready(*SYNC)

    assert done.code == 0, done
    stats = done.report["stats"]
    assert (stats["images_synced"], stats["blobs_transferred"]) == (1, 0)
    assert stats["blobs_mounted"] > 0
    assert stats["discovery_cache_hits"] > 0
    assert source.count("GET", "/blobs/") == 0


def test_the_next_run_begins_at_the_rate_that_a_registry_has_asked_for(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    told = faults.too_many(message="retry-after: 10ms, allowed: 600/minute")
    source.on("GET", r"/tags/list", times=1, authorized=True, respond=told)
    assert ready(*SYNC).code == 0
    source.requests.clear()

    assert ready(*SYNC).code == 0

    asked = sorted(r.started for r in source.requests if r.matches("HEAD|GET", r"/(manifests|tags|referrers)/"))
    assert len(asked) > 2
    # Some ten in a second, and slowly more; all would otherwise go at once.
    assert asked[-1] - asked[0] > 0.03 * (len(asked) - 1)


def test_the_file_is_its_owners_alone_and_holds_no_secret(ready: Program, source: ScriptedRegistry) -> None:
    assert ready(*SYNC).code == 0

    path = ready.folder / ".ocync-cache" / "memory-2.txt"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    raw = path.read_bytes()
    for form in forms([PASSWORD, TOKEN, *VARIABLES.values()]):
        assert form.encode() not in raw


def test_a_run_that_can_not_write_the_file_says_so_once_and_is_not_worse_for_it(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    (ready.folder / "taken").write_text("a file")
    added(ready, f"global: {{ cache_dir: {ready.folder}/taken }}\n")

    done = ready(*SYNC)

    assert done.code == 0, done
    (line,) = done.err.splitlines()
    assert "cache: " in line
    assert "global.cache_dir" in line
    corpus.assert_mirrored(source, target)


def test_a_dry_run_leaves_nothing(ready: Program) -> None:
    before = sorted(ready.folder.iterdir())

    assert ready(*SYNC, "--dry-run").code == 0

    assert sorted(ready.folder.iterdir()) == before


def test_a_job_without_a_disk_finds_its_state_in_the_registry(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    added(ready, f"global: {{ cache_dir: {ready.folder}/emptydir, state: {{ artifact: ghcr/myorg/state }} }}\n")
    assert ready(*SYNC).code == 0
    assert "ocync-state" in target.repositories["myorg/state"].tags
    for path in (ready.folder / "emptydir").iterdir():
        path.unlink()
    new_tag(source)
    source.requests.clear()

    done = ready(*SYNC)

    assert done.code == 0, done
    assert done.report["stats"]["blobs_mounted"] > 0
    assert source.count("GET", "/blobs/") == 0


def test_a_state_that_can_not_be_written_fails_no_run(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    added(ready, "global: { state: { artifact: src/myorg/state } }\n")

    done = ready(*SYNC)

    assert done.code == 0, done
    assert all("myorg/state:ocync-state" in line for line in done.err.splitlines())
    assert done.err
    corpus.assert_mirrored(source, target)
