"""Each exit code, for what it stands for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from e2e import corpus
from scripted import faults
from servers.process import free_port

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry

SYNC = ("sync", "-c", "ocync.yaml")
HASTY = "global: { retry: { attempts: 1, max_delay: 1s }, timeouts: { connect: 1s, idle: 1s } }\n"


def hasty(program: Program) -> None:
    """Have the program give up at once."""
    program.write((program.folder / "ocync.yaml").read_text() + HASTY)


def test_0_when_everything_is_synced_or_was_before(ready: Program) -> None:
    assert [ready(*SYNC).code, ready(*SYNC).code] == [0, 0]


def test_1_when_one_of_two_mappings_fails_and_the_other_is_synced_all_the_same(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    del source.repositories["chainguard/static"]

    done = ready(*SYNC)

    assert done.code == 1, done
    assert set(target.repositories["myorg/python"].tags) == set(corpus.TAGS["chainguard/python"])
    assert "1 of 4 images failed; 3 copied" in done.out
    assert "Failed, not_found: 1 image" in done.out


def test_1_when_one_image_fails_and_the_others_are_synced_all_the_same(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    hasty(ready)
    lying = corpus.image(4).manifests[0]
    source.on("GET", f"/manifests/{lying.digest}", respond=faults.flip_bit(at=5))

    done = ready(*SYNC, "--json")

    assert done.code == 1, done
    kinds = {image["target"].rpartition("/")[2]: image["error"] for image in done.report["images"]}
    assert kinds.pop("python:3.12")["kind"] == "verification"
    assert set(kinds.values()) == {None}
    assert "3.12" not in target.repositories["myorg/python"].tags
    assert target.incomplete_tags() == []


def test_1_when_one_of_several_targets_is_down_and_the_others_get_everything(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    hasty(ready)
    config = ready.folder / "ocync.yaml"
    more = f'  down: {{ url: "http://127.0.0.1:{free_port()}" }}\n  disk: {{ url: "oci:./mirror" }}\ndefaults:\n'
    ready.write(
        config.read_text().replace("defaults:\n", more).replace("targets: ghcr", "targets: [ghcr, down, disk]")
    )

    done = ready(*SYNC, "--json")

    assert done.code == 1, done
    by_place = Counter((image["target"].split("/")[0], image["status"]) for image in done.report["images"])
    assert set(by_place.values()) == {corpus.COUNT}
    corpus.assert_mirrored(source, target)
    assert sorted(ready("tags", "oci:mirror/myorg/static").out.split()) == ["1.0", "latest", "latest-dev"]
    # All three targets were fed by one read.
    fetched = [request.path.rsplit("/", 1)[1] for request in source.requests.matching("GET", "/blobs/")]
    assert len(fetched) == len(set(fetched)) > 10


def test_2_when_everything_fails(ready: Program, source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    hasty(ready)
    source.on("*", "", respond=faults.error(503, "UNAVAILABLE", "back soon"))

    done = ready(*SYNC)

    assert done.code == 2, done
    assert "2 of 2 images failed" in done.out
    assert "503 UNAVAILABLE: back soon" in done.out
    assert target.count("POST|PUT|PATCH") == 0


def test_3_for_a_configuration_that_is_wrong_before_anything_is_asked(
    ready: Program, source: ScriptedRegistry
) -> None:
    ready.write((ready.folder / "ocync.yaml").read_text().replace("targets: ghcr", "targets: ghrc\n  tag: {}"))

    done = ready(*SYNC)

    assert (done.code, done.out) == (3, ""), done
    first, second = done.err.splitlines()
    assert first.startswith("ocync.yaml:15:12: defaults.targets: ")
    assert "ghcr" in first
    assert second.startswith("ocync.yaml:16:3: defaults.tag: ")
    assert "tags" in second
    assert len(source.requests) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param((), "COMMAND", id="nothing"),
        pytest.param(("sink", "-c", "ocync.yaml"), "'sink'", id="an unknown command"),
        pytest.param(("sync",), "-c/--config", id="a missing option"),
        pytest.param(("sync", "-c", "ocync.yaml", "--dryrun"), "--dryrun", id="an unknown option"),
        pytest.param(("sync", "-c", "ocync.yaml", "--dry"), "--dry", id="an abbreviated option"),
        pytest.param(("sync", "-c", "ocync.yaml", "--grace-period", "soon"), "soon", id="a strange value"),
        pytest.param(("watch", "-c", "ocync.yaml", "--health-port", "99999"), "99999", id="a strange port"),
        pytest.param(("tags", "cgr.dev/x", "--latest", "0"), "'0'", id="a strange number"),
        pytest.param(("tags", "cgr.dev/x", "--latest", "3"), "--sort", id="what needs another option"),
        pytest.param(("copy", "cgr.dev/x", "not a reference"), "not a reference", id="a strange reference"),
        pytest.param(("copy", "cgr.dev/x"), "DST", id="a missing argument"),
        pytest.param(("sync", "-c", "nowhere.yaml"), "nowhere.yaml: can't be read", id="a missing file"),
        pytest.param(("sync", "-c", "."), "can't be read", id="a folder"),
    ],
)
def test_3_for_a_wrong_command_line_with_one_line_that_says_why(
    program: Program, arguments: tuple[str, ...], said: str
) -> None:
    done = program(*arguments)

    assert (done.code, done.out) == (3, ""), done
    (line,) = done.err.splitlines()
    assert said in line


@pytest.mark.parametrize("variable", ["CHAINGUARD_PASSWORD", "GITHUB_TOKEN"])
def test_4_when_credentials_are_refused_on_either_side(ready: Program, variable: str) -> None:
    done = ready.knowing(**{variable: "expired-yesterday"})(*SYNC)

    assert done.code == 4, done
    assert f"${{{variable}}}" in done.out
    assert "ocync auth check" in done.out


def test_4_when_images_that_fail_all_lack_rights_though_others_were_synced(
    ready: Program, source: ScriptedRegistry
) -> None:
    source.on(
        "GET|HEAD", "/chainguard/static/", respond=faults.error(403, "DENIED", "not in your plan"), authorized=True
    )

    done = ready(*SYNC)

    assert done.code == 4, done
    assert "3 copied" in done.out


def test_1_when_some_lack_rights_and_others_fail_otherwise(ready: Program, source: ScriptedRegistry) -> None:
    source.on(
        "GET|HEAD", "/chainguard/static/", respond=faults.error(403, "DENIED", "not in your plan"), authorized=True
    )
    source.on("GET|HEAD", "/manifests/3.12", respond=faults.error(404, "MANIFEST_UNKNOWN"), authorized=True)

    done = ready(*SYNC)

    assert done.code == 1, done


def test_a_failed_pass_is_told_to_kubernetes(ready: Program) -> None:
    message = ready.folder / "termination-log"
    message.touch()

    ready.knowing(GITHUB_TOKEN="expired-yesterday")(*SYNC, "--termination-log", str(message))

    assert message.read_text().startswith("6 of 6 images failed")
