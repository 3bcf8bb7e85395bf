from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench.answers import Answer, Registry, Request
from bench.maker import Maker
from bench.tokens import Tokens
from scripted import media

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    made = Registry(tmp_path)
    made.empty()
    maker = Maker(made.blobs)
    layer = maker.layer("team/app", "layer", 5000)
    image = maker.image("team/app", [layer], platform="linux/amd64", note="one", tag="1.0")
    maker.sign("team/app", image)
    made.repositories = maker.repositories
    return made


def ask(registry: Registry, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
    """Ask as nginx does; words of headers are parted by underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return registry.answer(Request(method=method, target=target, headers=named, body=body))


def header(answer: Answer, name: str) -> str:
    """Return a field."""
    return dict(answer.headers)[name]


def brought(registry: Registry, name: str, data: bytes) -> str:
    """Write what a request brings, as nginx does, and return the file's name."""
    file = registry.incoming / name
    file.write_bytes(data)
    return str(file)


def test_a_manifest_has_its_digest_length_and_type_by_tag_and_digest(registry: Registry) -> None:
    digest = registry.repositories["team/app"].tags["1.0"]
    asked = ask(registry, "HEAD", "/v2/team/app/manifests/1.0")
    got = ask(registry, "GET", f"/v2/team/app/manifests/{digest}")

    assert (asked.status, asked.length, asked.body) == (200, len(got.body), b"")
    assert header(asked, "Docker-Content-Digest") == header(got, "Docker-Content-Digest") == digest
    assert header(got, "Content-Type") == media.OCI_MANIFEST


@pytest.mark.parametrize(
    "target",
    [
        "/v2/team/none/tags/list",
        "/v2/team/app/manifests/none",
        "/v2/team/none/manifests/1.0",
        f"/v2/team/app/blobs/sha256:{'0' * 64}",
        "/v3/",
    ],
)
def test_what_is_not_there_is_not_found(registry: Registry, target: str) -> None:
    assert ask(registry, "GET", target).status == 404


def test_a_blob_is_named_to_nginx_and_never_read(registry: Registry) -> None:
    digest = min(registry.repositories["team/app"].blobs)
    got = ask(registry, "GET", f"/v2/team/app/blobs/{digest}")

    assert (got.status, got.body) == (200, b"")
    assert header(got, "X-Accel-Redirect") == f"/files/{digest.removeprefix('sha256:')}"
    size = (registry.blobs / digest.removeprefix("sha256:")).stat().st_size
    assert ask(registry, "HEAD", f"/v2/team/app/blobs/{digest}").length == size
    assert ask(registry, "HEAD", f"/v2/other/app/blobs/{digest}").status == 404


def test_tags_come_in_pages_that_link_to_the_next(registry: Registry) -> None:
    first = ask(registry, "GET", "/v2/team/app/tags/list?n=2")
    link = header(first, "Link").partition(">")[0].removeprefix("<")
    second = ask(registry, "GET", link)

    tags = json.loads(first.body)["tags"] + json.loads(second.body)["tags"]
    assert tags == sorted(registry.repositories["team/app"].tags)
    assert "Link" not in dict(second.headers)


def test_referrers_are_listed_by_type_and_only_where_there_is_the_api(registry: Registry) -> None:
    digest = registry.repositories["team/app"].tags["1.0"]
    every = json.loads(ask(registry, "GET", f"/v2/team/app/referrers/{digest}").body)["manifests"]
    boms = ask(registry, "GET", f"/v2/team/app/referrers/{digest}?artifactType=application/spdx%2Bjson")

    assert len(every) == 2
    assert [entry["artifactType"] for entry in json.loads(boms.body)["manifests"]] == ["application/spdx+json"]
    registry.referrers = False
    assert ask(registry, "GET", f"/v2/team/app/referrers/{digest}").status == 404


def test_an_upload_in_two_requests_and_one_in_a_single_one_are_taken(registry: Registry) -> None:
    digest = f"sha256:{'1' * 64}"
    opened = ask(registry, "POST", "/v2/new/app/blobs/uploads/")
    target = f"{header(opened, 'Location')}?digest={digest}"
    put = ask(registry, "PUT", target, x_body_file=brought(registry, "1", b"abc"))
    single = f"/v2/single/app/blobs/uploads/?digest={digest}"
    posted = ask(registry, "POST", single, x_body_file=brought(registry, "2", b"abc"))

    assert (opened.status, put.status, posted.status) == (202, 201, 201)
    for name in ("new/app", "single/app"):
        assert ask(registry, "HEAD", f"/v2/{name}/blobs/{digest}").length == 3
    assert not list(registry.incoming.iterdir())


def test_an_upload_in_pieces_is_put_together_in_their_order(registry: Registry) -> None:
    digest = f"sha256:{'2' * 64}"
    target = header(ask(registry, "POST", "/v2/new/app/blobs/uploads/"), "Location")
    ask(registry, "PATCH", target, x_body_file=brought(registry, "first", b"ab"))
    patched = ask(registry, "PATCH", target, x_body_file=brought(registry, "second", b"cd"))
    assert header(patched, "Range") == "0-3"
    ask(registry, "PUT", f"{target}?digest={digest}", x_body_file=brought(registry, "end", b"e"))

    assert (registry.blobs / ("2" * 64)).read_bytes() == b"abcde"
    assert ask(registry, "PATCH", target).status == 404


def test_a_mount_needs_a_repository_that_has_the_blob(registry: Registry) -> None:
    digest = min(registry.repositories["team/app"].blobs)
    mounted = ask(registry, "POST", f"/v2/new/app/blobs/uploads/?mount={digest}&from=team/app")
    unknown = ask(registry, "POST", f"/v2/new/app/blobs/uploads/?mount=sha256:{'3' * 64}&from=team/app")
    from_nowhere = ask(registry, "POST", f"/v2/new/app/blobs/uploads/?mount={digest}")

    assert (mounted.status, unknown.status, from_nowhere.status) == (201, 202, 202)
    assert ask(registry, "HEAD", f"/v2/new/app/blobs/{digest}").status == 200


def test_a_manifest_is_refused_before_its_blobs_and_children_are_there(registry: Registry) -> None:
    raw = registry.repositories["team/app"].find("1.0").raw  # type: ignore[union-attr]
    digest = registry.repositories["team/app"].tags["1.0"]

    def put(name: str, reference: str, body: bytes) -> Answer:
        target = f"/v2/{name}/manifests/{reference}"
        return ask(registry, "PUT", target, body, content_type=media.OCI_MANIFEST)

    assert put("new/app", "1.0", raw).status == 400
    assert put("team/app", f"sha256:{'4' * 64}", raw).status == 400
    assert put("team/app", "2.0", b"no json").status == 400
    done = put("team/app", "2.0", raw)
    assert (done.status, header(done, "Docker-Content-Digest")) == (201, digest)
    assert registry.repositories["team/app"].tags["2.0"] == digest


def test_a_token_is_good_for_its_own_repository_alone(registry: Registry) -> None:
    registry.tokens = Tokens()
    refused = ask(registry, "GET", "/v2/team/app/tags/list", x_host="host:1")
    scopes = "scope=repository:team/other:pull&scope=repository:team/app:pull"
    token = json.loads(ask(registry, "GET", f"/token?service=bench&{scopes}").body)["token"]

    def read(name: str) -> int:
        return ask(
            registry, "GET", f"/v2/{name}/tags/list", authorization=f"Bearer {token}", x_host="host:1"
        ).status

    assert refused.status == 401
    expected = 'Bearer realm="https://host:1/token",service="bench",scope="repository:team/app:pull"'
    assert header(refused, "WWW-Authenticate") == expected
    assert read("team/app") == 200
    assert read("team/other") == 401
    assert ask(registry, "GET", "/v2/", x_host="host:1").status == 401
