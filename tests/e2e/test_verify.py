"""`verify` as operators meet it: summary, report, exit code, and what is wrong in a configuration."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import signing
from e2e.program import Program
from scripted import ScriptedRegistry, build
from scripted.background import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNED, BARE, SIGNED_KEYLESS = (build.multi_arch(seed=seed) for seed in (1, 2, 3))
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

    assert "Not signed as verify requires: 1 image, would be copied anyway" in told.out, told
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


CHAINGUARD = "https://github.com/chainguard-images/images/.github/workflows/release.yaml@refs/heads/main"
DOCUMENT = Path(__file__).parents[2] / "docs" / "signatures.md"
(PUBLIC,) = (
    block for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) if "release.yaml" in block
)


@pytest.mark.parametrize(
    ("identity", "code"),
    [
        pytest.param(CHAINGUARD, 0, id="Chainguard"),
        pytest.param(f"{CHAINGUARD}/more", 2, id="a longer name"),
        pytest.param(CHAINGUARD.replace("chainguard-images/", "chainguard-images-of-mine/"), 2, id="somebody else"),
        pytest.param(None, 2, id="nobody"),
    ],
)
@pytest.mark.parametrize("layout", ["annotations", "bundle"])
def test_the_documented_example_copies_what_chainguard_has_signed(
    tmp_path: Path, identity: str | None, code: int, layout: str
) -> None:
    program = Program.within(tmp_path, GITHUB_TOKEN="t")
    sigstore = signing.Sigstore()
    program.write(sigstore.trusted_root(), "trusted_root.json")
    with in_thread(ScriptedRegistry()) as source, in_thread(ScriptedRegistry()) as target:
        source.seed("chainguard/static", "latest", SIGNED)
        if identity and layout == "annotations":
            layer = sigstore.simple(SIGNED.digest, identity=identity)
            signing.under_tag(source, "chainguard/static", SIGNED.digest, layer)
        elif identity:
            bundle = sigstore.bundle(SIGNED.digest, identity=identity)
            signing.bundled(source, "chainguard/static", SIGNED, bundle, predicate=signing.SIGN)
        # The root is the only thing that has to be another one here.
        text = PUBLIC.replace("cgr.dev", source.url).replace("ghcr.io", target.url)
        text = text.replace(
            "keyless:\n      - issuer", "keyless:\n      - trusted_root: trusted_root.json\n        issuer"
        )
        program.write(text)

        done = program("sync", "-c", "ocync.yaml", "--json")

        assert done.code == code, done
        assert ("myorg/static" in target.repositories) is (code == 0)


def test_with_the_root_of_the_public_instance_another_sigstore_vouches_for_nobody(
    program: Program, registries: tuple[ScriptedRegistry, ScriptedRegistry]
) -> None:
    source, target = registries
    layer = signing.Sigstore().simple(BARE.digest)
    signing.under_tag(source, "team/app", BARE.digest, layer)
    who = ("--verify-identity", signing.WORKFLOW, "--verify-issuer", signing.ISSUER)

    done = program("copy", f"{source.url}/team/app:bare", f"{target.url}/team/app", *who)

    assert done.code == 2, done
    assert "a log that the root that comes with sigstore" in done.out
    assert target.repositories == {}


@pytest.mark.parametrize("options", [(), ("--no-artifacts",), ("--dry-run",)])
def test_copy_verifies_who_is_named(
    program: Program, registries: tuple[ScriptedRegistry, ScriptedRegistry], options: tuple[str, ...]
) -> None:
    source, target = registries
    program.write(signing.pem_of(KEY), "cosign.pub")
    sigstore = signing.Sigstore()
    program.write(sigstore.trusted_root(), "root.json")
    source.seed("team/app", "keyless", SIGNED_KEYLESS)
    signing.bundled(source, "team/app", SIGNED_KEYLESS, sigstore.bundle(SIGNED_KEYLESS.digest))
    issued = ("--verify-issuer", signing.ISSUER, "--verify-trusted-root", "root.json")

    def copy(tag: str, *who: str) -> int:
        return program("copy", f"{source.url}/team/app:{tag}", f"{target.url}/team/app", *options, *who).code

    assert copy("bare", "--verify-key", "cosign.pub") == 2
    assert copy("signed", "--verify-identity", signing.WORKFLOW, *issued) == 2
    assert copy("keyless", "--verify-identity-regexp", "https://github.com/acme", *issued) == 2
    assert target.repositories == {}
    assert copy("signed", "--verify-key", "cosign.pub") == 0
    assert copy("keyless", "--verify-key", "cosign.pub", "--verify-identity", signing.WORKFLOW, *issued) == 0
    assert copy("keyless", "--verify-identity-regexp", "https://github.com/acme/.*", *issued) == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--verify-identity", "x"), "--verify-issuer is missing"),
        (("--verify-issuer", "x"), "--verify-identity or --verify-identity-regexp is missing"),
        (("--verify-trusted-root", "x"), "--verify-trusted-root needs --verify-identity"),
        (("--verify-key", "/nowhere/cosign.pub"), "can't read /nowhere/cosign.pub"),
        (("--verify-identity", "x", "--verify-identity-regexp", "x", "--verify-issuer", "i"), "not allowed with"),
        (("--verify-identity-regexp", "(", "--verify-issuer", "i"), "no regular expression"),
        (
            ("--verify-identity", "x", "--verify-issuer", "i", "--verify-trusted-root", "/nowhere"),
            "can't read /nowhere",
        ),
    ],
)
def test_what_is_wrong_with_copy_s_options_is_said_before_anything_is_asked(
    program: Program,
    registries: tuple[ScriptedRegistry, ScriptedRegistry],
    options: tuple[str, ...],
    why: str,
) -> None:
    source, target = registries

    done = program("copy", f"{source.url}/team/app:signed", f"{target.url}/team/app", *options)

    assert done.code == 3, done
    assert why in done.err
    assert len(source.requests) == len(target.requests) == 0


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
