"""`ocync analyze`: a forecast that comes true, and failures as a pass would have them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import jsonschema
import pytest

from attached import attach
from e2e import corpus
from e2e.waiting import until
from ocync.analyze import as_json
from scripted import build, faults

if TYPE_CHECKING:
    from typing import Any

    from e2e.program import Done, Program
    from scripted import ScriptedRegistry

ANALYZE = ("analyze", "-c", "ocync.yaml")
SYNC = ("sync", "-c", "ocync.yaml")


def document(done: Done) -> dict[str, Any]:
    """Return the document on stdout, which has to be as its schema says."""
    jsonschema.validate(done.report, as_json.schema())
    assert done.report["exit_code"] == done.code
    return done.report


def test_what_is_forecast_of_a_first_pass_is_what_it_then_asks_and_sends(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    forecast = document(ready(*ANALYZE, "--json"))
    for registry in (source, target):
        registry.requests.clear()

    synced = ready(*SYNC, "--json").report

    (here,) = forecast["targets"]
    stats = synced["stats"]
    assert (here["images"], here["repositories"], here["empty_repositories"]) == (corpus.COUNT, 2, 2)
    for key, number in (
        ("bytes_sent", stats["bytes_transferred"]),
        ("blobs_sent", stats["blobs_transferred"]),
        ("blobs_mounted", stats["blobs_mounted"]),
    ):
        assert here[key] == {"min": number, "max": number}
    for registry in (source, target):
        asked = registry.count("*", r"^/v2/.") - registry.count("*", r"^/v2/.", status=401)
        # How a target takes blobs is shown by the first one only.
        puts = here["blobs_sent"]["max"] if registry is target else 0
        total = forecast["requests"][registry.host]["total"]
        assert total["max"] - total["min"] == puts
        assert total["min"] <= asked <= total["max"]


def test_the_text_is_read_in_ten_seconds(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    done = ready(*ANALYZE)

    assert (done.code, done.err) == (0, ""), done
    said = done.out.replace(source.host, "cgr.dev").replace(target.host, "ghcr.io")
    assert said.splitlines()[0] == "The next pass copies 6 of 6 images; 0 unchanged"
    assert "To ghcr.io: 6 images into 2 repositories, all empty\n" in said
    assert " by 1 mount, " in said
    assert "\n  cgr.dev     53 = 2 tag lists, 14 lists of referrers, 16 manifest GETs, 21 blob GETs\n" in said
    assert "\n  ghcr.io  40-61 = 2 tag lists, 1 mount, 21 blob POSTs, 0-21 blob PUTs, 16 manifest PUTs\n" in said
    assert len(said.splitlines()) < 25


def test_nothing_is_written_and_no_blob_is_read(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    done = ready(*ANALYZE, "--json")

    assert source.count("*", "/blobs/") == 0
    assert target.count("POST|PUT|PATCH|DELETE") == 0
    assert target.repositories == {}
    made = document(done)["requests_made"]
    assert made == {registry.host: len(registry.requests) for registry in (source, target)}


def test_after_a_pass_the_next_one_is_looks_alone_and_a_cold_one_is_forecast_without_asking_the_target(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    before = document(ready(*ANALYZE, "--json"))
    ready(*SYNC)

    unchanged = document(ready(*ANALYZE, "--json"))
    target.requests.clear()
    cold = document(ready(*ANALYZE, "--json", "--cold"))

    assert unchanged["images"] == {
        "selected": 6,
        "to_copy": 0,
        "artifacts_only": 0,
        "up_to_date": 6,
        "immutable": 0,
        "failed": 0,
    }
    assert (unchanged["targets"], unchanged["sources"]) == ([], [])
    assert {host: kinds["total"]["max"] for host, kinds in unchanged["requests"].items()} == {
        source.host: 2 + 14 + 6,
        target.host: 6,
    }
    assert [cold[key] for key in ("targets", "requests", "sharing")] == [
        before[key] for key in ("targets", "requests", "sharing")
    ]
    assert len(target.requests) == 0


def test_what_is_forecast_of_a_pass_that_remembers_others_is_what_it_then_asks(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    ready(*SYNC)
    moved = build.multi_arch(seed=77, shared=[build.layer(60_000, seed=1)])
    source.seed("chainguard/static", "latest", moved)
    for image in (moved, corpus.image(3)):
        repository = "chainguard/static" if image is moved else "chainguard/python"
        attach(source, repository, image.digest, build.artifact("application/vnd.example.sbom", subject=image))

    # How the target takes blobs is known from the first pass.
    for _ in range(2):
        forecast = document(ready(*ANALYZE, "--json"))
        for registry in (source, target):
            registry.requests.clear()
        synced = ready(*SYNC, "--json").report

        for registry in (source, target):
            asked = registry.count("*", r"^/v2/.") - registry.count("*", r"^/v2/.", status=401)
            total = forecast["requests"][registry.host]["total"]
            assert total == {"min": asked, "max": asked}, forecast["requests"][registry.host]
        assert synced["stats"]["images_failed"] == 0
        source.seed("chainguard/static", "latest-dev", build.image([build.layer(700, seed=5)], label="moved"))


def test_an_unchanged_mirror_is_told_in_few_words(ready: Program) -> None:
    ready(*SYNC)

    done = ready(*ANALYZE)

    assert done.out.startswith("The next pass copies 0 of 6 images; 6 unchanged\n\nRequests of that pass"), done


def test_1_when_a_mapping_fails_with_a_forecast_of_the_others(ready: Program, source: ScriptedRegistry) -> None:
    del source.repositories["chainguard/static"]

    done = ready(*ANALYZE)

    assert done.code == 1, done
    assert done.out.startswith("The next pass copies 3 of 4 images; 0 unchanged, 1 could not be looked at\n")
    assert "Failed, not_found: 1 image" in done.err


@pytest.mark.parametrize("arguments", [(), ("-q",)], ids=["aloud", "quiet"])
def test_2_when_everything_fails(ready: Program, source: ScriptedRegistry, arguments: tuple[str, ...]) -> None:
    ready.write((ready.folder / "ocync.yaml").read_text() + "global: { retry: { attempts: 1 } }\n")
    source.on("*", "", respond=faults.error(503, "UNAVAILABLE", "back soon"))

    done = ready(*ANALYZE, *arguments)

    assert done.code == 2, done
    assert "503 UNAVAILABLE: back soon" in done.err
    assert bool(done.out) == (not arguments)


def test_3_for_a_configuration_that_is_wrong(program: Program) -> None:
    assert program(*ANALYZE).code == 3
    assert program("analyze").code == 3


@pytest.mark.parametrize("variable", ["CHAINGUARD_PASSWORD", "GITHUB_TOKEN"])
def test_4_when_credentials_are_refused_with_the_failures_in_the_document(ready: Program, variable: str) -> None:
    done = ready.knowing(**{variable: "expired-yesterday"})(*ANALYZE, "--json")

    assert done.code == 4, done
    failures = document(done)["failures"]
    assert {failure["error"]["kind"] for failure in failures} == {"auth"}
    assert "expired-yesterday" not in done.said


def test_a_cold_forecast_reads_no_state_at_a_target(ready: Program, target: ScriptedRegistry) -> None:
    config = (ready.folder / "ocync.yaml").read_text()
    ready.write(config + "global: { state: { artifact: ghcr/myorg/state } }\n")

    assert ready(*ANALYZE).code == 0
    assert target.count("GET", "/myorg/state/") > 0
    target.requests.clear()
    assert ready(*ANALYZE, "--cold").code == 0
    assert len(target.requests) == 0


def test_4_is_not_for_a_target_that_a_cold_forecast_does_not_ask(ready: Program) -> None:
    assert ready.knowing(GITHUB_TOKEN="expired-yesterday")(*ANALYZE, "--cold").code == 0


def test_5_at_once_for_a_signal_with_what_was_read_until_then(ready: Program, source: ScriptedRegistry) -> None:
    source.on("GET", "/python/manifests/", respond=faults.stall(60), authorized=True)
    with ready.started(*ANALYZE) as run:
        until(lambda: source.count("GET", "/python/manifests/") > 0, of=run)
        until(lambda: source.count("GET", "/static/manifests/", status=200) >= 5, of=run)
        run.send(signal.SIGTERM)
        done = run.done(within=5)

    assert done.code == 5, done
    assert done.out.startswith("Interrupted (signal SIGTERM): ")
    assert "Traceback" not in done.said


def test_5_for_a_deadline_that_comes_first(ready: Program, source: ScriptedRegistry) -> None:
    ready.write((ready.folder / "ocync.yaml").read_text() + "global: { deadline: 1s }\n")
    source.on("GET", "/manifests/", respond=faults.stall(60), authorized=True)

    done = ready(*ANALYZE, "--json")

    assert done.code == 5, done
    assert document(done)["interrupted"] == "deadline of 1 s"


def test_a_folder_is_a_target_without_requests(ready: Program, target: ScriptedRegistry) -> None:
    config = (ready.folder / "ocync.yaml").read_text()
    ready.write(
        config.replace("targets: ghcr", "targets: [ghcr, disk]").replace(
            "defaults:", "  disk: { url: 'oci:./mirror' }\ndefaults:"
        )
    )

    forecast = document(ready(*ANALYZE, "--json"))
    synced = ready(*SYNC, "--json").report

    sizes = {target["place"]: target["bytes_sent"]["max"] for target in forecast["targets"]}
    assert len(sizes) == 2
    assert sum(sizes.values()) == synced["stats"]["bytes_transferred"]
    assert len(forecast["requests"]) == 2
    assert target.host in sizes
