"""`ocync watch`: passes for ever, whatever becomes of each, and an end in order."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

import ocync.report
from e2e import corpus
from e2e.accounts import PASSWORD, TOKEN, USERNAME, encoded
from e2e.waiting import PROMPT, until
from e2e.watching import SOON, watching
from scripted import User, faults
from servers.pushgateway import pushgateway

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry

SCHEMA = json.loads((Path(ocync.report.__file__).parent / "schema.json").read_text(encoding="utf-8"))
HASTY = "global: { retry: { attempts: 1 }, timeouts: { connect: 1s, idle: 1s } }\n"
STALLED = faults.stall(60, after=1000)
"""Blobs whose bytes stop coming."""


def add(program: Program, text: str) -> str:
    """Write more into the configuration; returns what it was before."""
    before = (program.folder / "ocync.yaml").read_text()
    program.write(before + text)
    return before


def good(report: dict[str, Any]) -> bool:
    return report["exit_code"] == 0


def series(text: str) -> set[str]:
    """Return the names of all metrics of ours, with their labels; the Pushgateway's own grouping is left out."""
    return {
        f"{sample.name}{sorted(set(sample.labels.items()) - {('job', 'ocync'), ('instance', '')})}"
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("ocync_")
    }


def values(text: str) -> dict[str, float]:
    """Return the metrics that have no label of their own."""
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not set(sample.labels) - {"job", "instance"}
    }


def test_passes_come_at_the_interval_with_a_line_of_json_each(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    ready.write((ready.folder / "ocync.yaml").read_text().replace("to: myorg/static", "to: myorg/static${NOWHERE}"))
    with watching(ready, *SOON) as watch:
        first, second, *_ = reports = watch.passes(3)

    begun = [datetime.fromisoformat(report["started_at"]) for report in reports]
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(begun)]
    assert 0.99 < min(gaps) < 3
    # What is odd about the configuration is not told again with each pass.
    assert watch.said.count("${NOWHERE} is not set") == 1
    for report in reports:
        jsonschema.validate(report, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert len({report["run_id"] for report in reports}) == len(reports)
    assert (first["stats"]["images_synced"], second["stats"]["images_synced"]) == (corpus.COUNT, 0)
    assert second["stats"]["images_skipped"] == corpus.COUNT
    corpus.assert_mirrored(source, target)


def test_the_configuration_is_read_anew_before_each_pass(ready: Program, target: ScriptedRegistry) -> None:
    with watching(ready, *SOON) as watch:
        watch.passes(1)
        add(ready, "  - from: chainguard/static\n    to: myorg/copy\n")

        report = watch.comes(lambda report: len(report["images"]) > corpus.COUNT)

    # Its variables are those of the start, and they are known still.
    assert report["exit_code"] == 0
    assert set(target.repositories["myorg/copy"].tags) == set(corpus.TAGS["chainguard/static"])


def test_secrets_in_files_are_read_anew_before_each_pass(
    program: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    def rotate(number: int) -> None:
        reader = User(name=USERNAME, password=f"{PASSWORD}-{number}", push=())
        writer = User(name="bot", password=f"{TOKEN}-{number}")
        source.auth.users, target.auth.users = (reader,), (writer,)
        source.auth.tokens.revoke_all()
        program.docker_config({"auths": {source.host: {"auth": encoded(reader.name, reader.password)}}})
        program.write(f"{writer.password}\n", "password")

    rotate(1)
    program.write(f"""
registries:
  src: {{ url: "{source.url}", auth_type: docker_config }}
  dst: {{ url: "{target.url}", auth_type: basic, credentials: {{ username: bot, password_file: password }} }}
mappings: [ {{ from: chainguard/static, source: src, targets: dst, tags: {{ glob: "*" }} }} ]
""")
    with watching(program, *SOON) as watch:
        assert watch.passes(1)[-1]["exit_code"] == 0
        rotate(2)
        source.seed("chainguard/static", "new", corpus.image(7))

        assert watch.comes(lambda report: report["stats"]["images_synced"] == 1)["exit_code"] == 0

    assert target.resolve("chainguard/static", "new") == corpus.image(7).digest
    assert f"{TOKEN}-2" not in watch.said


def test_a_configuration_that_breaks_fails_its_passes_and_the_next_valid_one_works(
    ready: Program, target: ScriptedRegistry
) -> None:
    with watching(ready, *SOON) as watch:
        watch.passes(1)
        before = add(ready, "  - from: chainguard/static\n    too: myorg/copy\n  - fro: chainguard/static\n")
        misspelt = watch.comes(lambda report: not good(report))
        ready_still, metrics = watch.ask("/readyz").status_code, watch.ask("/metrics").text
        target.requests.clear()
        (ready.folder / "ocync.yaml").unlink()
        absent = watch.comes(lambda report: "can't be read" in report["error"]["message"])
        ready.write(before)
        watch.comes(good)

    jsonschema.validate(misspelt, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert misspelt["exit_code"] == absent["exit_code"] == 3
    assert misspelt["images"] == []
    told = [line for line in watch.said.splitlines() if "ocync.yaml:22:5: mappings[2].too: " in line]
    assert len(told) == len({line.split()[0] for line in told}) > 0
    assert "ocync.yaml:23:5: mappings[3].fro: " in watch.said
    assert "ocync.yaml: can't be read: no such file or directory" in watch.said
    assert ready_still == 200
    assert 'ocync_last_run_status{status="config"} 1.0' in metrics
    assert target.count("POST|PUT") == 0


def test_a_pass_that_fails_is_followed_by_the_next_and_only_a_good_one_makes_it_ready(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    add(ready, HASTY)
    late = source.on("GET", "^/token", respond=faults.stall(0.7), times=2)
    down = source.on("GET", "/tags/list", respond=faults.error(503, "UNAVAILABLE", "back soon"))
    with watching(ready, *SOON) as watch:
        until(watch.answers, of=watch.run)
        during = watch.ask("/readyz"), watch.ask("/metrics").text, watch.codes
        watch.passes(1)
        after = watch.ask("/readyz"), watch.ask("/metrics").text
        down.end()
        watch.comes(good)
        at_last = watch.ask("/readyz")
        del source.repositories["chainguard/python"]
        watch.comes(lambda report: not good(report))
        later = watch.ask("/readyz"), watch.ask("/metrics").text

    assert late.met == 2
    assert (during[0].status_code, during[0].text) == (503, "no pass has succeeded yet\n")
    assert "ocync_last_run" not in during[1]
    assert during[2] == []
    assert after[0].status_code == 503
    assert 'ocync_last_run_status{status="failed"} 1.0' in after[1]
    assert "ocync_last_success" not in after[1]
    assert (at_last.status_code, later[0].status_code) == (200, 200)
    assert 'ocync_last_run_status{status="partial"} 1.0' in later[1]
    assert values(later[1])["ocync_last_success_timestamp_seconds"] > 0


def test_a_pass_that_takes_longer_than_the_interval_is_never_met_by_another(
    ready: Program, source: ScriptedRegistry
) -> None:
    source.on("GET", "/static/tags/list", respond=faults.stall(1.2), times=1, authorized=True)
    with watching(ready, *SOON) as watch:
        reports = watch.passes(2)

    begun = [datetime.fromisoformat(report["started_at"]).timestamp() for report in reports]
    ended = begun[0] + reports[0]["duration_seconds"]
    assert reports[0]["duration_seconds"] > 1.2
    # Nor does the next one come without a pause.
    assert begun[1] - ended > 0.99
    assert source.requests.peak_of("GET", "/static/tags/list") == 1


def test_each_pass_is_pushed_as_it_is_served(ready: Program, source: ScriptedRegistry, tmp_path: Path) -> None:
    with (
        pushgateway(tmp_path) as gateway,
        watching(ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url), "--interval", "2") as watch,
    ):
        watch.passes(1)
        pushed = "ocync_last_success_timestamp_seconds"
        until(lambda: pushed in gateway.scrape())
        first = gateway.scrape()
        served = watch.ask("/metrics").text
        del source.repositories["chainguard/python"]
        watch.comes(lambda report: not good(report))
        until(lambda: 'status="partial"} 1' in gateway.scrape())
        second = gateway.scrape()

    ours = {name for name in series(first) if not name.startswith(("ocync_push", "push_"))}
    assert ours == series(served)
    assert values(served)["ocync_schedule_interval_seconds"] == 2
    ended = "ocync_last_run_timestamp_seconds"
    assert values(first)[ended] == values(served)[ended] < values(second)[ended]
    assert values(second)[pushed] == values(first)[pushed] == values(first)[ended]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_between_passes_ends_it_at_once_with_0(ready: Program, number: signal.Signals) -> None:
    with watching(ready, "--interval", "300") as watch:
        watch.passes(1)
        time.sleep(0.1)
        watch.run.send(number)
        asked = time.monotonic()
        done = watch.end()

    assert time.monotonic() - asked < PROMPT
    assert (done.code, watch.codes) == (0, [0]), done
    assert "Traceback" not in done.said


def test_a_signal_is_not_kept_waiting_by_a_pushgateway_that_is_silent(ready: Program, tmp_path: Path) -> None:
    with pushgateway(tmp_path) as gateway:
        gateway.server.suspend()
        with watching(ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url), "--interval", "300") as watch:
            watch.passes(1)
            watch.run.send(signal.SIGTERM)
            watch.run.send(signal.SIGINT)
            asked = time.monotonic()
            done = watch.end()

    assert time.monotonic() - asked < 8  # alone it would be waited for 10
    assert done.code == 0, done
    assert "metrics were not sent: there was no time left (signal SIGTERM)" in done.err


@pytest.mark.parametrize("missing", [0, 1], ids=["all is well", "an image failed"])
def test_a_pass_that_is_completed_after_a_signal_ends_it_with_0(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry, missing: int
) -> None:
    source.on("*", "/manifests/3.12", respond=faults.error(404, "MANIFEST_UNKNOWN"), times=missing, authorized=True)
    source.on("GET", "/blobs/", respond=faults.drip(size=10_000, pause=0.03), authorized=True)
    with watching(ready, "--grace-period", "20") as watch:
        # All images are in flight at once, so all are allowed to end.
        until(
            lambda: source.count("GET", "/manifests/(?!sha256:)", status=200) == corpus.COUNT - missing,
            of=watch.run,
        )
        until(lambda: source.count("GET", "/blobs/", status=200) > 0, of=watch.run)
        watch.run.send(signal.SIGTERM)
        done = watch.end()

    assert (done.code, watch.codes) == (0, [missing]), done
    assert sum(len(repository.tags) for repository in target.repositories.values()) == corpus.COUNT - missing
    assert target.incomplete_tags() == []


def test_a_pass_that_is_cut_off_after_a_signal_ends_it_with_5_in_time_and_is_told(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry, tmp_path: Path
) -> None:
    source.on("GET", "/blobs/", respond=STALLED, authorized=True)
    with pushgateway(tmp_path) as gateway:
        told = ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url)
        with watching(told, "--grace-period", "0.5") as watch:
            until(lambda: source.count("GET", "/blobs/", status=200) > 0, of=watch.run)
            watch.run.send(signal.SIGTERM)
            asked = time.monotonic()
            until(lambda: not watch.run.running())
            took = time.monotonic() - asked
            done = watch.end()
        scraped = gateway.scrape()

    assert took > 0.4
    assert (done.code, watch.codes) == (5, [5]), done
    assert {image["error"]["kind"] for image in watch.reports[0]["images"]} == {"interrupted"}
    assert 'ocync_last_run_status{instance="",job="ocync",status="interrupted"} 1' in scraped
    assert target.incomplete_tags() == []


def test_a_second_signal_stops_a_pass_at_once(ready: Program, source: ScriptedRegistry) -> None:
    source.on("GET", "/blobs/", respond=STALLED, authorized=True)
    with watching(ready, "--grace-period", "50") as watch:
        until(lambda: source.count("GET", "/blobs/", status=200) > 0, of=watch.run)
        watch.run.send(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            until(lambda: not watch.run.running(), within=0.7)
        assert watch.ask("/healthz").status_code == 200
        watch.run.send(signal.SIGTERM)
        asked = time.monotonic()
        done = watch.end()

    assert time.monotonic() - asked < PROMPT
    assert (done.code, watch.codes) == (5, [5]), done


def test_a_deadline_ends_a_pass_and_not_the_program(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    slow = source.on("GET", "/blobs/", respond=STALLED, authorized=True)
    add(ready, "global: { deadline: 1s }\n")
    with watching(ready, *SOON, "--grace-period", "0") as watch:
        watch.passes(1)
        codes = watch.codes
        slow.end()
        watch.comes(good)
        watch.run.send(signal.SIGTERM)
        done = watch.end()

    assert (codes, done.code) == ([5], 0), done
    corpus.assert_mirrored(source, target)


def test_a_port_that_is_taken_ends_it_at_the_start_with_3_and_one_line(
    ready: Program, source: ScriptedRegistry
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = ready("watch", "-c", "ocync.yaml", "--health-port", str(port))

    assert (done.code, done.out) == (3, ""), done
    assert done.err == (
        f"ocync: can't listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another --health-bind or --health-port\n"
    )
    assert len(source.requests) == 0


def test_proxies_that_can_not_be_used_end_it_at_the_start_with_3(ready: Program, source: ScriptedRegistry) -> None:
    done = ready.knowing(HTTPS_PROXY="socks5://proxy:1080")("watch", "-c", "ocync.yaml", "--health-port", "0")

    assert (done.code, done.out) == (3, ""), done
    assert done.err.splitlines()[-1].startswith("ocync: HTTPS_PROXY ")
    assert len(source.requests) == 0


def test_a_configuration_that_is_wrong_at_the_start_ends_it_with_3(
    ready: Program, source: ScriptedRegistry
) -> None:
    add(ready, "  - fro: chainguard/static\n")

    done = ready("watch", "-c", "ocync.yaml", "--health-port", "0", "--json")

    assert (done.code, done.out) == (3, ""), done
    assert done.err.startswith("ocync.yaml:21:5: mappings[2].fro: ")
    assert len(source.requests) == 0


def test_without_json_a_pass_is_a_summary_for_people(ready: Program) -> None:
    with watching(ready, json_lines=False) as watch:
        until(watch.out.read_text, of=watch.run)
        watch.run.send(signal.SIGTERM)
        assert watch.end().out.startswith("Up to date: 6 images; 6 copied, 0 unchanged\n")
