"""Signals and the deadline: exit code 5, in time, with a report, and nothing half-written at the target."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from e2e import corpus
from e2e.waiting import PROMPT, until
from scripted import faults
from servers.pushgateway import pushgateway

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.program import Program, Started
    from scripted import ScriptedRegistry

STALLED = faults.stall(60, after=1000)
"""Blobs whose bytes stop coming."""
SYNC = ("sync", "-c", "ocync.yaml")


def reads_a_blob(run: Started, source: ScriptedRegistry) -> None:
    """Wait until the bytes of a blob are on their way."""
    until(lambda: source.count("GET", "/blobs/", status=200) > 0, of=run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_a_pass_within_the_grace_period_with_a_report(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry, number: signal.Signals
) -> None:
    source.on("GET", "/blobs/", respond=STALLED, authorized=True)
    with ready.started(*SYNC, "--grace-period", "0.5", "--json") as run:
        reads_a_blob(run, source)
        run.send(number)
        asked = time.monotonic()
        done = run.done()

    assert time.monotonic() - asked < PROMPT
    assert done.code == done.report["exit_code"] == 5, done
    assert {image["error"]["kind"] for image in done.report["images"]} == {"interrupted"}
    assert number.name in done.report["images"][0]["error"]["message"]
    assert "Traceback" not in done.said
    assert not any(repository.tags for repository in target.repositories.values())
    # A small child may have been completed: what is there is whole.
    assert not [
        digest
        for repository in target.repositories.values()
        for digest in repository.manifests
        if repository.missing_below(digest)
    ]


def test_the_pass_after_an_interruption_completes_it(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    slow = source.on("GET", "/blobs/", respond=STALLED, authorized=True)
    with ready.started(*SYNC, "--grace-period", "0") as run:
        reads_a_blob(run, source)
        run.send(signal.SIGTERM)
        assert run.done().code == 5
    slow.end()

    assert ready(*SYNC).code == 0

    corpus.assert_mirrored(source, target)


def test_images_in_flight_are_completed_and_no_other_is_begun(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    source.on("GET", "/blobs/", respond=faults.drip(size=10_000, pause=0.05), authorized=True)
    config = ready.folder / "ocync.yaml"
    ready.write(config.read_text() + "global: { max_concurrent_transfers: 1 }\n")
    with ready.started(*SYNC, "--grace-period", "20") as run:
        reads_a_blob(run, source)
        run.send(signal.SIGTERM)
        done = run.done()

    assert done.code == 5, done
    assert sum(len(repository.tags) for repository in target.repositories.values()) == 1
    assert target.incomplete_tags() == []
    assert "Interrupted (signal SIGTERM): 5 of 6 images not done" in done.out
    assert "1 copied" in done.out


def test_a_signal_that_interrupts_nothing_is_no_interruption(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    source.on("GET", "/blobs/", respond=faults.drip(size=10_000, pause=0.05), authorized=True)
    with ready.started(*SYNC, "--grace-period", "20") as run:
        # All six images are in flight at once, so all are allowed to end.
        until(lambda: source.count("GET", r"/manifests/(?!sha256:)", status=200) == corpus.COUNT, of=run)
        reads_a_blob(run, source)
        run.send(signal.SIGTERM)
        done = run.done()

    assert done.code == 0, done
    corpus.assert_mirrored(source, target)


def test_a_second_signal_stops_at_once(ready: Program, source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    source.on("GET", "/blobs/", respond=STALLED, authorized=True)
    with ready.started(*SYNC, "--grace-period", "50", "--json") as run:
        reads_a_blob(run, source)
        run.send(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            until(lambda: not run.running(), within=1)
        run.send(signal.SIGTERM)
        asked = time.monotonic()
        done = run.done()

    assert time.monotonic() - asked < PROMPT
    assert done.code == done.report["exit_code"] == 5, done
    assert target.incomplete_tags() == []


def test_a_signal_while_a_registry_keeps_us_waiting_is_answered(ready: Program, source: ScriptedRegistry) -> None:
    source.on("GET", "^/token", respond=faults.stall(60))
    with ready.started(*SYNC, "--grace-period", "0.3") as run:
        until(lambda: source.count("GET", "^/token") > 0, of=run)
        run.send(signal.SIGTERM)
        asked = time.monotonic()
        done = run.done()

    assert time.monotonic() - asked < PROMPT
    assert done.code == 5, done


def test_a_signal_while_a_retry_is_waited_for_is_answered(ready: Program, source: ScriptedRegistry) -> None:
    source.on("GET", "/tags/list", respond=faults.too_many(seconds=50))
    with ready.started(*SYNC, "--grace-period", "0.3") as run:
        until(lambda: source.count("GET", "/tags/list", status=429) > 0, of=run)
        run.send(signal.SIGTERM)
        asked = time.monotonic()
        done = run.done()

    assert time.monotonic() - asked < PROMPT
    assert done.code == 5, done


def test_the_deadline_ends_a_pass_as_a_signal_does(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    source.on("GET", "/blobs/", respond=STALLED, authorized=True)
    ready.write((ready.folder / "ocync.yaml").read_text() + "global: { deadline: 1s }\n")
    started = time.monotonic()

    done = ready(*SYNC, "--grace-period", "0.5")

    assert 1 < time.monotonic() - started < PROMPT
    assert done.code == 5, done
    assert "Interrupted (deadline of 1 s): 6 of 6 images not done" in done.out
    assert target.incomplete_tags() == []


def test_an_interrupted_pass_is_told_to_the_pushgateway_and_to_kubernetes(
    ready: Program, source: ScriptedRegistry, tmp_path: Path
) -> None:
    source.on("GET", "/blobs/", respond=STALLED, authorized=True)
    message = tmp_path / "termination-log"
    message.touch()
    with pushgateway(tmp_path) as gateway:
        told = ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url)
        with told.started(*SYNC, "--grace-period", "0.3", "--termination-log", str(message)) as run:
            reads_a_blob(run, source)
            run.send(signal.SIGTERM)
            done = run.done()
        scraped = gateway.scrape()

    assert done.code == 5, done
    assert 'ocync_last_run_status{instance="",job="ocync",status="interrupted"} 1' in scraped
    assert "ocync_last_success_timestamp_seconds" not in scraped
    assert message.read_text().startswith("Interrupted (signal SIGTERM): 6 of 6 images not done\n")
