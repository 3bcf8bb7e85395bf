"""Which proxy a push goes through, and what is said of one that does not work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ocync.config.model import PushgatewayConfig
from ocync.report import metrics
from ocync.report.pushgateway import PushOutcome, push
from reports import report
from servers.process import free_port

NO_ANSWER = b""


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[int, list[str]]]:
    """Run a server that answers every request so, and lists their first lines."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.splitlines()[0])
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        await reader.readexactly(length)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


async def pushed(url: str, **environ: str) -> PushOutcome:
    return await push(PushgatewayConfig(url=url), metrics.render(report()), environ=environ, timeout=5)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def test_a_gateway_outside_is_reached_through_the_proxy() -> None:
    async with answering(OK) as (port, asked):
        outcome = await pushed("http://push.example.com:9091", HTTP_PROXY=f"http://127.0.0.1:{port}")
    assert outcome.delivered
    assert asked == ["POST http://push.example.com:9091/metrics/job/ocync HTTP/1.1"]


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        pytest.param("http://pushgateway.invalid.svc:9091", "", id="a service's name"),
        pytest.param("http://pushgateway.invalid.svc.cluster.local.:9091", "", id="a service's whole name"),
        pytest.param("http://pushgateway-none:9091", "", id="a name without a dot"),
        pytest.param("http://10.255.255.1:9", "10.0.0.0/8", id="a network of NO_PROXY"),
        pytest.param("http://push.example.invalid", ".example.invalid", id="a domain of NO_PROXY"),
    ],
)
async def test_a_gateway_in_the_cluster_never_is(url: str, no_proxy: str) -> None:
    async with answering(OK) as (port, asked):
        outcome = await push(
            PushgatewayConfig(url=url),
            metrics.render(report()),
            environ={"HTTP_PROXY": f"http://127.0.0.1:{port}", "NO_PROXY": no_proxy},
            timeout=1,
        )
    assert not outcome.delivered
    assert asked == []


async def test_a_proxy_that_is_down_is_named_without_its_password(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    outcome = await pushed("http://push.example.com", http_proxy=f"http://me:hunter2@127.0.0.1:{port}")
    assert not outcome.delivered
    assert f"through the proxy http://127.0.0.1:{port}: NO_PROXY=push.example.com" in caplog.messages[0]
    assert "hunter2" not in caplog.text


async def test_an_invalid_proxy_variable_is_a_warning() -> None:
    outcome = await pushed("http://push.example.com", HTTP_PROXY="socks5://x")
    assert "HTTP_PROXY" in outcome.problem


@pytest.mark.parametrize(
    ("answer", "problem", "hint"),
    [
        pytest.param(
            b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://u:hunter2@push.example.com/x?sig=hunter2\r\n"
            b"Content-Length: 0\r\n\r\n",
            "it answered 308 Permanent Redirect",
            "redirects to https://push.example.com: set metrics.pushgateway.url",
            id="a redirect",
        ),
        pytest.param(
            b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
            "it answered 302 Found",
            "it redirects: set metrics.pushgateway.url",
            id="a redirect to itself",
        ),
        pytest.param(
            b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n<html><h1>502</h1>\x1b[2J" + b" page" * 20_000,
            "it answered 502 Bad Gateway (502 [2J page page",
            "the next pass pushes again",
            id="a page without end",
        ),
        pytest.param(
            b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", "407", "the proxy requires", id="a proxy's login"
        ),
        pytest.param(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n", "418", "see metrics.push", id="a teapot"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", "illegal", "check metrics.pushgateway.url", id="no HTTP"),
        pytest.param(NO_ANSWER, "disconnected", "check metrics.pushgateway.url", id="nothing"),
    ],
)
async def test_any_answer_is_explained_in_one_line(
    answer: bytes, problem: str, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(answer) as (port, _asked):
        outcome = await pushed(f"http://127.0.0.1:{port}")
    assert problem in outcome.problem
    assert hint in outcome.hint
    (message,) = caplog.messages
    assert message.isprintable()
    assert len(message) < 500
    assert "hunter2" not in message
