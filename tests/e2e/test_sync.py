"""`ocync sync` with the README's configuration, between a registry as cgr.dev is and one that asks for Basic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

import ocync.report
from e2e import corpus
from scripted import build

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry

SCHEMA = json.loads((Path(ocync.report.__file__).parent / "schema.json").read_text(encoding="utf-8"))


def test_a_first_pass_copies_every_byte(ready: Program, source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    done = ready("sync", "-c", "ocync.yaml")

    assert done.code == 0, done
    corpus.assert_mirrored(source, target)
    assert done.out.startswith("Up to date: 6 images; 6 copied, 0 unchanged\n")
    assert f"{target.host}/myorg/python:3.12" in done.out
    assert done.err == ""


def test_a_first_pass_fetches_each_blob_and_manifest_once(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    assert ready("sync", "-c", "ocync.yaml").code == 0

    fetched = [request.path.rsplit("/", 1)[1] for request in source.requests.matching("GET", "/blobs/")]
    assert len(fetched) == len(set(fetched)) > 10
    put = [request.path for request in target.requests.matching("PUT", r"/manifests/sha256:")]
    assert len(put) == len(set(put))
    # Each tag was moved last, by one request, and never by two.
    assert target.count("PUT", r"/manifests/(?!sha256:)") == corpus.COUNT


def test_a_second_pass_asks_twice_per_tag_and_moves_nothing(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    # Which images are looked below is a matter of the hour.
    ready.write((ready.folder / "ocync.yaml").read_text() + "global: { audit: off }\n")
    assert ready("sync", "-c", "ocync.yaml").code == 0
    source.requests.clear()
    target.requests.clear()

    done = ready("sync", "-c", "ocync.yaml")

    assert done.code == 0, done
    assert done.out.startswith("Up to date: 6 images; 0 copied, 6 unchanged\n")
    assert source.count("HEAD", "/manifests/") == target.count("GET", "/manifests/") == corpus.COUNT
    assert source.count("GET", "/manifests/") + source.count("*", "/blobs/") + target.count("*", "/blobs/") == 0
    assert target.count("POST|PUT|PATCH|DELETE") == 0
    # One token for each repository, and one look at each list of the source: the target's is known to be filled.
    assert source.count("GET", "^/token") == source.count("GET", "/tags/list") == len(corpus.TAGS)
    assert target.count("GET", "/tags/list") == 0


def test_a_moved_tag_alone_is_copied(ready: Program, source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    assert ready("sync", "-c", "ocync.yaml").code == 0
    before = target.resolve("myorg/static", "latest")
    source.seed("chainguard/static", "latest", corpus.image(7))

    report = ready("sync", "-c", "ocync.yaml", "--json").report

    (moved,) = [image for image in report["images"] if image["status"] == "synced"]
    assert moved["target"] == f"{target.host}/myorg/static:latest"
    assert (moved["reason"], moved["previous_digest"]) == ("moved", before)
    assert moved["digest"] == target.resolve("myorg/static", "latest") == corpus.image(7).digest
    assert report["stats"]["images_skipped"] == corpus.COUNT - 1


def test_a_dry_run_says_what_a_pass_would_do_and_writes_nothing(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    target.seed("myorg/static", "latest", corpus.image(7))
    target.seed("myorg/static", "1.0", corpus.image(1))

    done = ready("sync", "-c", "ocync.yaml", "--dry-run")

    assert done.code == 0, done
    assert "Dry run, nothing was written: would copy 5 of 6 images; 1 unchanged" in done.out
    (line,) = [line for line in done.out.splitlines() if "myorg/static:latest " in line]
    assert line.split()[1:] == [corpus.image(7).digest[:19], "->", corpus.image(1).digest[:19]]
    assert target.count("POST|PUT|PATCH|DELETE") == 0
    assert source.count("GET", "/blobs/") == 0
    assert set(target.repositories["myorg/static"].tags) == {"latest", "1.0"}


def test_a_dry_run_shows_how_tags_were_selected(
    program: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    for minor in range(1, 5):
        source.seed("team/app", f"1.{minor}.0", build.image(label=str(minor)))
    source.seed("team/app", "1.5.0-rc1", build.image(label="rc"))
    program.write(f"""
registries:
  src: {{ url: "{source.url}", auth_type: basic, credentials: {{ username: "${{U}}", password: "${{P}}" }} }}
  dst: {{ url: "{target.url}", auth_type: static_token, token: "${{T}}" }}
mappings:
  - {{ from: team/app, source: src, targets: dst, tags: {{ semver: ">=1.2", sort: semver, latest: 2 }} }}
""")
    user, pusher = source.auth.users[0], target.auth.users[0]

    done = program.knowing(U=user.name, P=user.password, T=pusher.password)("sync", "-c", "ocync.yaml", "--dry-run")

    assert done.code == 0, done
    shown = done.out.partition("Dry run")[0]
    assert [
        line.strip() for line in shown.splitlines() if line.strip() in ("1.4.0", "1.3.0", "1.2.0", "1.1.0")
    ] == [
        "1.4.0",
        "1.3.0",
    ]
    assert "kept: 2" in shown
    assert f"{target.host}/team/app:1.4.0" in done.out


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["a pass", "a dry run"])
def test_json_is_one_document_of_the_published_schema_and_alone_on_stdout(
    ready: Program, flags: tuple[str, ...]
) -> None:
    done = ready("sync", "-c", "ocync.yaml", "--json", "-vv", *flags)

    assert done.code == 0, done
    jsonschema.validate(done.report, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert done.report["exit_code"] == 0
    assert done.report["dry_run"] is bool(flags)
    assert len(done.report["images"]) == done.report["stats"]["images_synced"] == corpus.COUNT
    assert " TRACE " in done.err


def test_json_counts_the_requests_that_were_made(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    report = ready("sync", "-c", "ocync.yaml", "--json").report

    assert report["stats"]["requests"] == {source.host: len(source.requests), target.host: len(target.requests)}
    sent = sum(request.received for request in target.requests.matching("POST|PUT", "/uploads/"))
    assert report["stats"]["bytes_transferred"] == sent


def test_a_mapping_that_cannot_be_resolved_is_an_image_without_a_tag(
    ready: Program, source: ScriptedRegistry
) -> None:
    del source.repositories["chainguard/python"]

    done = ready("sync", "-c", "ocync.yaml", "--json")

    assert done.code == 1, done
    jsonschema.validate(done.report, SCHEMA, cls=jsonschema.Draft202012Validator)
    (failed,) = [image for image in done.report["images"] if image["status"] == "failed"]
    assert (failed["mapping"], failed["source"]) == ("chainguard/python", f"{source.host}/chainguard/python")
    assert failed["error"]["kind"] == "not_found"
