import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from ocync.lib import log
from ocync.lib.redaction import Redactor

logger = logging.getLogger("ocync.test")


@contextmanager
def logging_to_text(
    form: str = "text", level: int = logging.INFO, secrets: tuple[str, ...] = (), **environ: str
) -> Iterator[io.StringIO]:
    stream, redactor = io.StringIO(), Redactor()
    for secret in secrets:
        redactor.add(secret)
    with log.configured(level=level, form=form, redactor=redactor, environ=environ, stream=stream):  # type: ignore[arg-type]
        yield stream


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("verbose", "quiet", "environ", "level"),
    [
        pytest.param(0, False, {}, logging.INFO, id="by default"),
        pytest.param(1, False, {}, logging.DEBUG, id="-v"),
        pytest.param(2, False, {}, log.TRACE, id="-vv"),
        pytest.param(5, False, {}, log.TRACE, id="-vvvvv"),
        pytest.param(0, True, {}, logging.ERROR, id="-q"),
        pytest.param(1, True, {}, logging.ERROR, id="-q with -v"),
        pytest.param(0, False, {"OCYNC_LOG": "debug"}, logging.DEBUG, id="the environment"),
        pytest.param(0, False, {"OCYNC_LOG": " WARN "}, logging.WARNING, id="the environment, in capitals"),
        pytest.param(2, False, {"OCYNC_LOG": "error"}, log.TRACE, id="a flag against the environment"),
        pytest.param(0, False, {"OCYNC_LOG": "loud"}, logging.INFO, id="no level"),
        pytest.param(0, False, {"OCYNC_LOG": ""}, logging.INFO, id="an empty variable"),
    ],
)
def test_flags_and_environment_give_the_level(
    verbose: int, quiet: bool, environ: dict[str, str], level: int
) -> None:
    assert log.level_of(verbose, quiet, environ) == level


def test_an_unknown_level_is_ignored_with_a_warning() -> None:
    with logging_to_text(OCYNC_LOG="loud") as stream:
        pass
    assert "OCYNC_LOG=loud is not a level" in stream.getvalue()


def test_a_record_is_one_line_with_its_time_in_utc() -> None:
    with logging_to_text() as stream:
        logger.info("moved %d", 3)
    line = lines(stream)[0]
    assert line.endswith(" INFO    moved 3")
    assert line[10] == "T"
    assert line[23] == "Z"


def test_the_loggers_name_is_shown_from_debug_on() -> None:
    with logging_to_text(level=logging.DEBUG) as stream:
        logger.debug("asked")
    assert "ocync.test: asked" in stream.getvalue()


def test_a_registry_can_forge_no_line_and_send_no_command_to_the_terminal() -> None:
    with logging_to_text() as stream:
        logger.warning("it said: %s", "no\n2026-01-01T00:00:00.000Z ERROR   forged\x1b[2J")
    assert len(lines(stream)) == 1
    assert r"no\n2026" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_json_is_one_object_a_line_with_what_came_as_extra() -> None:
    with logging_to_text("json") as stream:
        logger.warning("moved %d\nof 4", 3, extra={"images": 4, "target": "ghcr.io"})
    (line,) = lines(stream)
    record = json.loads(line)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "level": "WARNING",
        "logger": "ocync.test",
        "message": "moved 3\nof 4",
        "images": 4,
        "target": "ghcr.io",
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_secret_is_found_in_messages_arguments_extras_and_exceptions(form: str) -> None:
    secret = 'p"a\\ss\nwörd'
    with logging_to_text(form, level=log.TRACE, secrets=(secret,)) as stream:
        logger.info("sent " + secret)  # noqa: G003
        logger.info("sent %s", secret)
        logger.info("sent %s", [secret.encode().decode()])
        logger.info("sent", extra={"password": secret, "more": {"deep": [secret, ValueError(secret)]}})
        try:
            raise ValueError(secret)
        except ValueError:
            logger.exception("failed")
    shown = stream.getvalue()
    assert len(lines(stream)) == 5
    for part in ("wörd", "w\\u00f6rd", 'p"a', 'p\\"a'):
        assert part not in shown
    if form == "json":
        assert all(json.loads(line) for line in lines(stream))


@pytest.mark.parametrize("form", ["text", "json"])
def test_text_that_looks_like_credentials_is_redacted(form: str) -> None:
    with logging_to_text(form) as stream:
        logger.error("GET https://user:hunter2@host/b?sig=abc%%3D with %s", {"authorization": "Bearer eyJh"})
    shown = stream.getvalue()
    assert all(secret not in shown for secret in ("hunter2", "abc%3D", "eyJh"))


@pytest.mark.parametrize(("level", "expected"), [(logging.DEBUG, False), (log.TRACE, True)], ids=["debug", "trace"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_is_shown_at_trace_alone(form: str, level: int, expected: bool) -> None:
    with logging_to_text(form, level=level) as stream:
        try:
            raise KeyError("where")
        except KeyError:
            logger.exception("failed")
    assert ("Traceback" in stream.getvalue()) is expected
    assert "KeyError: 'where'" in stream.getvalue()
    assert len(lines(stream)) == 1


@pytest.mark.parametrize(("level", "expected"), [(logging.DEBUG, 0), (log.TRACE, 1)], ids=["debug", "trace"])
def test_what_httpx_says_of_each_request_is_heard_at_trace(level: int, expected: int) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200))
    with logging_to_text(level=level) as stream, httpx.Client(transport=transport) as client:
        client.get("https://host/?sig=abc")
    assert len(lines(stream)) == expected
    assert "abc" not in stream.getvalue()


def test_warnings_of_other_libraries_are_heard() -> None:
    with logging_to_text() as stream:
        logging.getLogger("asyncio").warning("slow")
    assert "slow" in stream.getvalue()


def test_afterwards_logging_is_as_it_was_before() -> None:
    root = logging.getLogger()
    before = (root.level, root.handlers[:], logging.getLogger("ocync").level)
    with logging_to_text():
        assert root.handlers != before[1]
    assert (root.level, root.handlers[:], logging.getLogger("ocync").level) == before


def test_the_log_follows_stderr_when_a_progress_display_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with log.configured(level=logging.INFO, form="text", redactor=Redactor(), environ={}):
        display = io.StringIO()
        monkeypatch.setattr(sys, "stderr", display)
        logger.info("above the bars")
    assert "above the bars" in display.getvalue()


def test_an_invalid_record_does_not_show_its_arguments() -> None:
    with logging_to_text() as stream:
        logger.info("%d images", "hunter2")
    assert "can't write a log record of" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_a_closed_stderr_is_ignored() -> None:
    with logging_to_text() as stream:
        stream.close()
        logger.error("nobody hears this")
