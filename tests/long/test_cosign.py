"""Signatures of cosign's own making, in each of its layouts: verified by it where ocync has copied them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from e2e.program import Program
from scripted import ScriptedRegistry, build
from scripted.background import in_thread
from servers import golang
from servers.docker_registry import docker_registry
from tools import Tool, ToolFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = build.multi_arch(seed=9)
SUBJECTS = (IMAGE.digest, *(manifest.digest for manifest in IMAGE.manifests[:-1]))
"""The index, and each child."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way in which a cosign keeps signatures at an image, and the options that make it write and read it."""

    name: str
    program: golang.GoProgram = golang.COSIGN
    sign: tuple[str, ...] = ("--tlog-upload=false",)
    verify: tuple[str, ...] = ()
    attest: tuple[str, ...] = ("--tlog-upload=false",)


ROOT = ("--trusted-root", "trusted_root.json")
"""For bundles cosign wants one, and fetches the public one otherwise; a key needs nothing of what it holds."""
NO_SERVICES = ("--signing-config", "signing.json", *ROOT)
OLD = ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false")
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(name="tags"),
        Layout(
            name="referrers",
            sign=("--tlog-upload=false", "--registry-referrers-mode=oci-1-1"),
            verify=("--experimental-oci11=true",),
        ),
        Layout(
            name="bundles",
            sign=("--tlog-upload=false", "--new-bundle-format"),
            verify=("--new-bundle-format", *ROOT),
            attest=("--tlog-upload=false", "--new-bundle-format"),
        ),
        Layout(name="3-default", program=golang.COSIGN_3, sign=NO_SERVICES, verify=ROOT, attest=NO_SERVICES),
        Layout(name="3-tags", program=golang.COSIGN_3, sign=OLD, verify=("--new-bundle-format=false",), attest=OLD),
        Layout(
            name="3-referrers",
            program=golang.COSIGN_3,
            sign=(*OLD, "--registry-referrers-mode=oci-1-1"),
            verify=("--new-bundle-format=false", "--experimental-oci11=true"),
            attest=OLD,
        ),
    )
}
EACH = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@pytest.fixture
def cosign(layout: Layout, tmp_path: Path) -> Tool:
    """Give the layout's program, in a folder with a key of its own."""
    folder = tmp_path / "cosign"
    folder.mkdir()
    tool = Tool(
        program=layout.program.built(),
        folder=folder,
        environ={"COSIGN_PASSWORD": "", "COSIGN_EXPERIMENTAL": "1", "COSIGN_YES": "1"},
    )
    tool("generate-key-pair")
    for name, kind in (("trusted_root", "trustedroot+json;version=0.1"), ("signing", "signingconfig.v0.2+json")):
        body = {"mediaType": f"application/vnd.dev.sigstore.{kind}"}
        (folder / f"{name}.json").write_text(json.dumps(body))
    return tool


@pytest.fixture(params=["api", "docker-registry", "distribution"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a registry with the referrers API, and of two without."""
    if request.param == "api":
        with in_thread(ScriptedRegistry()) as registry:
            yield registry.url
        return
    binary = golang.DISTRIBUTION.built() if request.param == "distribution" else None
    with docker_registry(tmp_path / "target", binary=binary) as server:
        yield server.url


@pytest.fixture
def source() -> Iterator[ScriptedRegistry]:
    with in_thread(ScriptedRegistry()) as registry:
        registry.seed("team/app", "v1", IMAGE)
        yield registry


@pytest.fixture
def ocync(tmp_path: Path) -> Program:
    return Program.within(tmp_path / "ocync")


def sign(cosign: Tool, layout: Layout, host: str) -> None:
    """Sign the index and each child."""
    options = ("--key", "cosign.key", "--recursive", "--allow-http-registry", *layout.sign)
    cosign("sign", *options, f"{host}/team/app@{IMAGE.digest}")


def verify(cosign: Tool, layout: Layout, name: str, subject: str) -> None:
    """Verify one manifest; raises ToolFailedError where it is not signed."""
    options = ("--key", "cosign.pub", "--insecure-ignore-tlog", "--allow-http-registry", *layout.verify)
    said = cosign("verify", *options, f"{name}@{subject}", "--output", "json")
    if said.strip().startswith("["):
        for entry in json.loads(said):
            if "critical" in entry:
                assert entry["critical"]["image"]["docker-manifest-digest"] == subject


@EACH
def test_cosign_verifies_index_and_children_at_the_target(
    layout: Layout, source: ScriptedRegistry, target: str, cosign: Tool, ocync: Program
) -> None:
    sign(cosign, layout, source.host)
    name = f"{target.removeprefix('http://')}/mirror/app"

    copied = ocync("copy", f"{source.url}/team/app:v1", f"{target}/mirror/app:v1", "--json")

    assert copied.code == 0, copied
    (image,) = copied.report["images"]
    assert image["artifacts"]["source"] == image["artifacts"]["target"] == len(SUBJECTS)
    for subject in SUBJECTS:
        verify(cosign, layout, name, subject)


@EACH
def test_what_cosign_has_signed_is_verified_before_it_is_copied(
    layout: Layout, source: ScriptedRegistry, cosign: Tool, ocync: Program
) -> None:
    cosign("generate-key-pair", "--output-key-prefix", "other")
    keys = {name: str(cosign.folder / f"{name}.pub") for name in ("cosign", "other")}
    with in_thread(ScriptedRegistry()) as target:
        for name, key in keys.items():
            mapping = {
                "from": "team/app",
                "to": f"{name}/app",
                "source": "from",
                "targets": "to",
                "verify": {"key": key},
            }
            registries = {"from": {"url": source.url}, "to": {"url": target.url}}
            ocync.write(json.dumps({"registries": registries, "mappings": [mapping]}), f"{name}.yaml")
        before = ocync("sync", "-c", "cosign.yaml", "--json")
        sign(cosign, layout, source.host)

        refused = ocync("sync", "-c", "other.yaml", "--json")
        after = ocync("sync", "-c", "cosign.yaml", "--json")

        kinds = [done.report["images"][0]["error"]["kind"] for done in (before, refused)]
        assert kinds == ["verification", "verification"], (before, refused)
        assert after.code == 0, after
        assert set(target.repositories["cosign/app"].tags) >= {"v1"}
        assert "other/app" not in target.repositories


@EACH
def test_an_image_of_an_index_is_verified_by_its_own_signature(
    layout: Layout, source: ScriptedRegistry, cosign: Tool, ocync: Program
) -> None:
    child = SUBJECTS[1]
    image = ("copy", f"{source.url}/team/app@{child}")
    key = ("--verify-key", str(cosign.folder / "cosign.pub"))
    with in_thread(ScriptedRegistry()) as target:
        before = ocync(*image, f"{target.url}/mirror/app:v1", *key, "--json")
        sign(cosign, layout, source.host)
        after = ocync(*image, f"{target.url}/mirror/app:v1", *key, "--json")

        assert before.report["images"][0]["error"]["kind"] == "verification", before
        assert after.code == 0, after
        assert target.repository("mirror/app").tags["v1"] == child


@EACH
def test_an_attestation_of_the_right_key_approves_of_nothing(
    layout: Layout, source: ScriptedRegistry, cosign: Tool, ocync: Program
) -> None:
    (cosign.folder / "predicate.json").write_text("{}")
    predicate = ("--type", "https://example.com/told", "--predicate", "predicate.json")
    options = ("--key", "cosign.key", "--allow-http-registry", *predicate, *layout.attest)
    cosign("attest", *options, f"{source.host}/team/app@{IMAGE.digest}")
    key = ("--verify-key", str(cosign.folder / "cosign.pub"))
    with in_thread(ScriptedRegistry()) as target:
        done = ocync("copy", f"{source.url}/team/app:v1", f"{target.url}/mirror/app:v1", *key, "--json")

        assert done.report["images"][0]["error"]["kind"] == "verification", done
        assert target.repositories == {}


@EACH
def test_without_its_artifacts_cosign_does_not_verify_the_copy(
    layout: Layout, source: ScriptedRegistry, cosign: Tool, ocync: Program
) -> None:
    sign(cosign, layout, source.host)
    with in_thread(ScriptedRegistry()) as target:
        assert ocync("copy", f"{source.url}/team/app:v1", f"{target.url}/mirror/app:v1", "--no-artifacts").code == 0

        with pytest.raises(ToolFailedError):
            verify(cosign, layout, f"{target.host}/mirror/app", IMAGE.digest)


@EACH
def test_an_image_that_is_signed_later_is_verified_after_the_next_pass(
    layout: Layout, source: ScriptedRegistry, target: str, cosign: Tool, ocync: Program
) -> None:
    ocync.write(
        json.dumps(
            {
                "registries": {"from": {"url": source.url}, "to": {"url": target}},
                "mappings": [{"from": "team/app", "to": "mirror/app", "source": "from", "targets": "to"}],
            }
        )
    )
    assert ocync("sync", "-c", "ocync.yaml").code == 0
    sign(cosign, layout, source.host)

    again = ocync("sync", "-c", "ocync.yaml", "--json")

    assert again.code == 0, again
    for subject in SUBJECTS:
        verify(cosign, layout, f"{target.removeprefix('http://')}/mirror/app", subject)
