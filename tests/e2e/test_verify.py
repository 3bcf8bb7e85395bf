"""`verify` as operators meet it: summary, report, exit code, and what is wrong in a configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import signing
from scripted import ScriptedRegistry, build
from scripted.background import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.program import Program

SIGNED, BARE = build.multi_arch(seed=1), build.multi_arch(seed=2)
KEY = signing.new_key()


@pytest.fixture
def registries() -> Iterator[tuple[ScriptedRegistry, ScriptedRegistry]]:
    """A source with a signed image and one that is not, and an empty target."""
    with in_thread(ScriptedRegistry()) as source, in_thread(ScriptedRegistry()) as target:
        source.seed("team/app", "signed", SIGNED)
        source.seed("team/app", "bare", BARE)
        payload = signing.payload_of(SIGNED.digest)
        layer = signing.simple_layer(payload, signing.sign(KEY, payload))
        signing.under_tag(source, "team/app", SIGNED.digest, layer)
        yield source, target


def configure(program: Program, registries: tuple[ScriptedRegistry, ScriptedRegistry], **verify: Any) -> None:
    urls = {name: {"url": each.url} for name, each in zip(("from", "to"), registries, strict=True)}
    defaults = {"source": "from", "targets": "to", "verify": {"key": "cosign.pub"}}
    mapping = {"from": "team/app", "tags": {"glob": ["signed", "bare"]}, "verify": verify or None}
    program.write(signing.pem_of(KEY), "cosign.pub")
    program.write(json.dumps({"registries": urls, "defaults": defaults, "mappings": [mapping]}))


def test_what_is_not_signed_fails_and_the_summary_says_what_to_do(
    program: Program, registries: tuple[ScriptedRegistry, ScriptedRegistry]
) -> None:
    configure(program, registries)

    done = program("sync", "-c", "ocync.yaml")

    assert done.code == 1, done
    assert (
        f"team/app:bare ({BARE.digest}) is not signed as verify demands: no signature is attached to it" in done.out
    )
    assert "have it signed" in done.out
    assert set(registries[1].repository("team/app").tags) == {"signed", build.cosign_tag(SIGNED.digest)}


def test_with_warn_it_is_copied_and_counted_in_text_and_report(
    program: Program, registries: tuple[ScriptedRegistry, ScriptedRegistry]
) -> None:
    configure(program, registries, mode="warn")

    told = program("sync", "-c", "ocync.yaml", "--dry-run")
    done = program("sync", "-c", "ocync.yaml", "--json")

    assert "Not signed as verify demands: 1 image, would be copied all the same" in told.out, told
    assert done.code == 0, done
    assert {image["source"][-4:]: image["unverified"] for image in done.report["images"]} == {
        "gned": False,
        "bare": True,
    }
    assert done.report["stats"]["images_unverified"] == 1
    assert "copied all the same (verify.mode: warn)" in done.err
    assert {"signed", "bare"} <= set(registries[1].repository("team/app").tags)


def test_a_dry_run_tells_which_images_would_be_refused(
    program: Program, registries: tuple[ScriptedRegistry, ScriptedRegistry]
) -> None:
    configure(program, registries)

    done = program("sync", "-c", "ocync.yaml", "--dry-run", "--json")

    kinds = {image["source"][-4:]: (image["error"] or {}).get("kind") for image in done.report["images"]}
    assert kinds == {"gned": None, "bare": "verification"}
    assert registries[1].repositories == {}


def test_a_key_that_is_not_there_is_an_error_of_the_configuration(
    program: Program, registries: tuple[ScriptedRegistry, ScriptedRegistry]
) -> None:
    configure(program, registries, key="/nowhere/cosign.pub")

    done = program("validate", "ocync.yaml")

    assert done.code == 3, done
    assert "mappings[0].verify.key: can't read /nowhere/cosign.pub: No such file or directory" in done.err
    assert len(registries[0].requests) == 0


def test_expand_shows_what_holds_for_a_mapping(
    program: Program, registries: tuple[ScriptedRegistry, ScriptedRegistry]
) -> None:
    configure(program, registries, mode="warn")

    done = program("expand", "ocync.yaml")

    assert done.code == 0, done
    assert "cosign.pub" in done.out
    assert done.out.count("mode: warn") == 1


def test_what_lies_in_a_folder_is_verified_as_well(
    program: Program, registries: tuple[ScriptedRegistry, ScriptedRegistry]
) -> None:
    source, target = registries
    for tag in ("signed", "bare"):
        assert program("copy", f"{source.url}/team/app:{tag}", f"oci:./disk/team/app:{tag}").code == 0
    configure(program, registries)
    config = json.loads((program.folder / "ocync.yaml").read_text())
    config["registries"]["from"] = {"url": "oci:./disk"}
    program.write(json.dumps(config))

    done = program("sync", "-c", "ocync.yaml", "--json")

    statuses = {image["source"].rpartition(":")[2]: image["status"] for image in done.report["images"]}
    assert statuses == {"signed": "synced", "bare": "failed"}, done
    assert target.content_of("team/app", "signed") == source.content_of("team/app", "signed") != {}
