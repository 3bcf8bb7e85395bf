"""`ocync copy`: between registries and folders, by tag and by digest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from e2e import corpus
from e2e.accounts import PASSWORD, PUSHER, TOKEN, USERNAME, encoded
from e2e.internet import Internet
from scripted import Bearer, ScriptedRegistry
from scripted.background import in_thread
from scripted.certificates import make_authority

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.program import Program

IMAGE = corpus.image(1)


@pytest.fixture
def known(program: Program, source: ScriptedRegistry, target: ScriptedRegistry) -> Program:
    """The program of somebody who has logged in at both registries."""
    auths = {source.host: (USERNAME, PASSWORD), target.host: (PUSHER.name, TOKEN)}
    program.docker_config({"auths": {host: {"auth": encoded(*login)} for host, login in auths.items()}})
    return program


def test_an_image_is_copied_whole(known: Program, source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    done = known("copy", f"{source.url}/chainguard/static:1.0", f"{target.url}/myorg/static:1.0")

    assert done.code == 0, done
    assert target.content_of("myorg/static", "1.0") == source.content_of("chainguard/static", "1.0") != {}
    assert "1 copied" in done.out


@pytest.mark.parametrize(
    ("named", "destination", "tags"),
    [
        pytest.param(":1.0", "", {"1.0"}, id="the source's by default"),
        pytest.param("", "", {"latest"}, id="latest where none is named"),
        pytest.param(":1.0", ":new", {"new"}, id="another"),
        pytest.param(f"@{IMAGE.digest}", ":new", {"new"}, id="one for a digest"),
        pytest.param(f":old@{IMAGE.digest}", "", {"old"}, id="the one beside the digest"),
        pytest.param(f"@{IMAGE.digest}", "", set(), id="none for a digest alone"),
    ],
)
def test_the_tag_at_the_destination(
    known: Program,
    source: ScriptedRegistry,
    target: ScriptedRegistry,
    named: str,
    destination: str,
    tags: set[str],
) -> None:
    done = known("copy", f"{source.url}/chainguard/static{named}", f"{target.url}/team/app{destination}")

    assert done.code == 0, done
    assert set(target.repositories["team/app"].tags) == tags
    assert target.content_of("team/app", IMAGE.digest) == source.content_of("chainguard/static", IMAGE.digest) != {}


def test_a_second_copy_has_nothing_to_do(
    known: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    arguments = ("copy", f"{source.url}/chainguard/static:1.0", f"{target.url}/myorg/static")
    known(*arguments)
    target.requests.clear()

    done = known(*arguments, "--json")

    assert [image["reason"] for image in done.report["images"]] == ["up-to-date"]
    assert target.count("POST|PUT|PATCH") == 0


def test_a_dry_run_of_a_copy_writes_nothing(
    known: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    done = known("copy", f"{source.url}/chainguard/static:1.0", f"{target.url}/myorg/static", "--dry-run")

    assert done.code == 0, done
    assert "would copy 1 of 1 image" in done.out
    assert target.repositories == {}


def test_through_a_folder_and_back_nothing_is_lost(
    known: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    out = known("copy", f"{source.url}/chainguard/python:3.12", "oci:./mirror/python:3.12")
    back = known("copy", "oci:mirror/python:3.12", f"{target.url}/team/python")

    assert (out.code, back.code) == (0, 0), (out, back)
    assert target.content_of("team/python", "3.12") == source.content_of("chainguard/python", "3.12") != {}
    index = json.loads((known.folder / "mirror" / "python" / "index.json").read_text())
    (entry,) = index["manifests"]
    assert entry["digest"] == corpus.image(4).digest
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "3.12"


def test_from_folder_to_folder_by_digest(known: Program, source: ScriptedRegistry) -> None:
    known("copy", f"{source.url}/chainguard/static:1.0", "oci:a/static")

    done = known("copy", f"oci:a/static@{IMAGE.digest}", "oci:b/static:new")

    assert done.code == 0, done
    first, second = (
        {path.name: path.read_bytes() for path in (known.folder / name / "static" / "blobs").rglob("*/*")}
        for name in ("a", "b")
    )
    assert first == second != {}


@pytest.mark.parametrize(
    ("source_name", "destination"),
    [
        pytest.param("{S}/a/b:1", "{S}/a/b:1", id="the same words"),
        pytest.param("{S}/a/b:1", "{S}/a/b", id="by the default tag"),
        pytest.param("{S}/a/b", "{S}/a/b:latest", id="latest, said and not said"),
        pytest.param("HTTP{R}/a/b", "http{R}/a/b", id="in capitals"),
        pytest.param("nginx:1", "docker.io/library/nginx:1", id="two names of Docker Hub's"),
        pytest.param("oci:./m/x:1", "oci:m/x:1", id="two names of a folder"),
    ],
)
def test_an_image_is_not_copied_onto_itself(
    program: Program, source: ScriptedRegistry, source_name: str, destination: str
) -> None:
    rest = source.url.removeprefix("http")
    names = [name.replace("{S}", source.url).replace("{R}", rest) for name in (source_name, destination)]

    done = program("copy", *names)

    assert done.code == 3, done
    assert "onto itself" in done.err
    assert len(source.requests) == 0


def test_a_tag_can_be_put_to_what_another_tag_or_a_digest_of_the_same_repository_names(
    known: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    target.seed("team/app", "1", IMAGE)

    by_tag = known("copy", f"{target.url}/team/app:1", f"{target.url}/team/app:stable")
    by_digest = known("copy", f"{target.url}/team/app@{IMAGE.digest}", f"{target.url}/team/app:latest")

    assert (by_tag.code, by_digest.code) == (0, 0), (by_tag, by_digest)
    assert target.repositories["team/app"].tags == dict.fromkeys(("1", "stable", "latest"), IMAGE.digest)
    assert target.count("GET", "/blobs/") == target.count("POST", "/uploads/") == 0


def test_a_digest_alone_is_no_name_in_a_folder(program: Program, source: ScriptedRegistry) -> None:
    done = program("copy", f"{source.url}/chainguard/static@{IMAGE.digest}", "oci:out/static")

    assert (done.code, done.err) == (
        3,
        "ocync: oci:out/static: an image copied by digest needs a tag in a folder; write oci:out/static:TAG\n",
    )
    assert not (program.folder / "out").exists()


def test_a_destination_by_digest_is_refused(program: Program, source: ScriptedRegistry) -> None:
    done = program("copy", f"{source.url}/chainguard/static", f"{source.url}/x/y@{IMAGE.digest}")

    assert done.code == 3, done
    assert "a destination is named by a tag" in done.err


@pytest.mark.parametrize("name", ["nginx:1.27", "library/nginx:1.27", "docker.io/nginx:1.27"])
def test_the_short_names_of_docker_hub_lead_there(program: Program, tmp_path: Path, name: str) -> None:
    authority = make_authority(tmp_path / "certificates")
    tls = authority.server_context(authority.issue("hub", ["registry-1.docker.io", "auth.docker.io"]))
    auth = Bearer(service="registry.docker.io", realm="https://auth.docker.io/token")
    auth.anonymous = type(auth.anonymous)(tags=None)
    with in_thread(ScriptedRegistry(auth=auth, tls=tls)) as hub:
        hub.seed("library/nginx", "1.27", IMAGE)
        hosts = {"registry-1.docker.io": hub.host, "auth.docker.io": hub.host}
        with in_thread(Internet(hosts)) as internet:
            outside = program.knowing(HTTPS_PROXY=internet.url, SSL_CERT_FILE=str(authority.ca_file))
            done = outside("copy", name, "oci:mirror/nginx")

    assert done.code == 0, done
    assert set(internet.asked) == {"registry-1.docker.io:443", "auth.docker.io:443"}
    assert (tmp_path / "mirror/nginx/blobs/sha256" / IMAGE.digest.removeprefix("sha256:")).is_file()
