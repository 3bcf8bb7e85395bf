import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from ocync.lib.errors import ConfigError
from ocync.report import metrics
from ocync.run import health
from ocync.run.health import HealthServer, HealthState
from reports import copied, failed, report


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a handler of asyncio raises is told to the log alone."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


@pytest.fixture
def state() -> HealthState:
    return HealthState(interval=300)


@pytest.fixture
async def server(state: HealthState) -> AsyncIterator[HealthServer]:
    async with HealthServer("127.0.0.1", 0, state) as running:
        yield running


async def ask(server: HealthServer, path: str, method: str = "GET", host: str = "127.0.0.1") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, f"http://{host}:{server.port}{path}")


async def exchange(server: HealthServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_it_is_alive_from_the_start_and_ready_after_the_first_good_pass(
    server: HealthServer, state: HealthState
) -> None:
    assert (await ask(server, "/healthz")).status_code == 200
    assert (await ask(server, "/readyz")).status_code == 503
    state.finished(report(copied(), failed()))
    assert (await ask(server, "/readyz")).status_code == 503
    state.finished(report(copied()))
    assert (await ask(server, "/readyz")).status_code == 200
    state.finished(report(failed()))
    assert (await ask(server, "/readyz")).status_code == 200


async def test_metrics_are_those_that_would_be_pushed(server: HealthServer, state: HealthState) -> None:
    whole = report(copied())
    state.finished(whole)
    answer = await ask(server, "/metrics")
    assert answer.content == metrics.render(whole, interval=300)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_the_last_success_is_reported_after_a_failed_pass(server: HealthServer, state: HealthState) -> None:
    good = report(copied())
    state.finished(good)
    state.finished(report(failed()))
    families = text_string_to_metric_families((await ask(server, "/metrics")).text)
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    assert samples["ocync_last_success_timestamp_seconds"] == good.ended_at.timestamp()


async def test_there_are_metrics_before_the_first_pass(server: HealthServer) -> None:
    answer = await ask(server, "/metrics")
    assert "ocync_build_info" in answer.text
    assert "ocync_last_run" not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/none"])
async def test_head_has_the_headers_of_get_and_no_body(server: HealthServer, path: str) -> None:
    by_get, by_head = await ask(server, path), await ask(server, path, "HEAD")
    assert by_head.status_code == by_get.status_code
    assert by_head.headers["content-length"] == str(len(by_get.content))
    assert by_head.content == b""


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/healthz/", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/healthz?verbose=1", 200),
        ("POST", "/healthz", 405),
        ("DELETE", "/metrics", 405),
        ("PUT", "/none", 404),
        ("OPTIONS", "/readyz", 405),
    ],
)
async def test_other_paths_and_methods_are_refused(
    server: HealthServer, method: str, path: str, status: int
) -> None:
    answer = await ask(server, path, method)
    assert answer.status_code == status
    assert ("allow" in answer.headers) is (status == 405)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"GET http://host/healthz HTTP/1.1\r\n\r\n", b"200", id="a proxy's form"),
        pytest.param(b"GET /healthz HTTP/1.0\r\n\r\n", b"200", id="HTTP/1.0"),
        pytest.param(b"GET /healthz\r\n\r\n", b"400", id="no version"),
        pytest.param(b"\r\n\r\n", b"400", id="no request"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\n", b"400", id="HTTP/2"),
        pytest.param(b"\x16\x03\x01\x02\x00\r\n\r\n", b"400", id="TLS"),
        pytest.param(b"GET http://[::1 HTTP/1.1\r\n\r\n", b"400", id="half an address"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"431", id="large headers"),
        pytest.param(b"GET /" + b"x" * 100_000, b"431", id="a path without end"),
        pytest.param(b"POST /healthz HTTP/1.1\r\n\r\n" + b"x" * 1_000_000, b"405", id="a large body"),
    ],
)
async def test_what_is_no_request_gets_an_answer_and_nothing_more(
    server: HealthServer, request_bytes: bytes, status: bytes
) -> None:
    assert (await exchange(server, request_bytes)).split(b" ")[1] == status
    assert (await ask(server, "/healthz")).status_code == 200


@given(st.binary(max_size=200))
def test_no_first_line_is_too_strange(line: bytes) -> None:
    assert health.respond(line + b"\r\n\r\n", HealthState()).encode().startswith(b"HTTP/1.1 ")


async def test_a_request_that_never_ends_is_ended(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    started = time.monotonic()
    writer.write(b"GET /healthz HTTP/1.1\r\n")
    assert await reader.read() == b""
    assert time.monotonic() - started > 0.1
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_goes_away_is_no_error(server: HealthServer) -> None:
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        writer.transport.abort()
    assert (await ask(server, "/healthz")).status_code == 200


async def test_a_crowd_of_idle_connections_ends_in_time(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_SECONDS", 0.3)
    crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)]
    # Those that are too many are closed at once, the others when their time is over.
    ends = await asyncio.gather(*(reader.read() for reader, _ in crowd))
    assert set(ends) == {b""}
    assert (await ask(server, "/healthz")).status_code == 200
    for _, writer in crowd:
        writer.close()
        await writer.wait_closed()


async def test_leaving_ends_open_connections_at_once_and_frees_the_port(
    state: HealthState, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever waits for them waits for ever.
    monkeypatch.setattr(health, "_SECONDS", 1e6)
    async with HealthServer("127.0.0.1", 0, state) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.sleep(0.05)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    async with HealthServer("127.0.0.1", server.port, state) as again:
        assert (await ask(again, "/healthz")).status_code == 200


async def test_it_listens_on_ipv6_and_on_both(state: HealthState) -> None:
    async with HealthServer("::1", 0, state) as server:
        assert (await ask(server, "/healthz", host="[::1]")).status_code == 200
    async with HealthServer("::", 0, state) as server:
        assert (await ask(server, "/healthz", host="[::1]")).status_code == 200
        assert (await ask(server, "/healthz", host="127.0.0.1")).status_code == 200


async def test_an_address_that_can_not_be_had_is_an_error_of_the_command_line(
    server: HealthServer, state: HealthState
) -> None:
    with pytest.raises(
        ConfigError, match=r"can't listen on 127.0.0.1 port \d+: Address already in use; choose another"
    ):
        async with HealthServer("127.0.0.1", server.port, state):
            pass
    for bind in ("192.0.2.1", "no.such.host.invalid"):
        with pytest.raises(ConfigError, match=f"can't listen on {bind}"):
            async with HealthServer(bind, 0, state):
                pass
