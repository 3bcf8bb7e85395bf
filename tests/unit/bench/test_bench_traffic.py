from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bench.backend import Distance
from bench.measure import run
from bench.relay import relaying
from bench.traffic import Line, Meter, Traffic

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = f"sha256:{'a' * 64}"


def line(
    method: str, target: str, *, ended: float = 1.0, lasted: float = 0.5, connection: str = "1", status: int = 200
) -> Line:
    """Return a request as nginx logs it."""
    fields = ("7", connection, method, target, str(status), "100", "2000", str(ended), str(lasted))
    return Line.parse("\t".join(fields))


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("GET", "/v2/", "ping"),
        ("GET", "/v2/a/b/tags/list?n=100", "tags"),
        ("HEAD", "/v2/a/b/manifests/1.0", "manifest HEAD"),
        ("PUT", f"/v2/a/b/manifests/{DIGEST}", "manifest PUT"),
        ("GET", f"/v2/a/b/blobs/{DIGEST}", "blob GET"),
        ("GET", f"/v2/a/b/referrers/{DIGEST}?artifactType=x", "referrers"),
        ("POST", "/v2/a/b/blobs/uploads/", "upload POST"),
        ("POST", f"/v2/a/b/blobs/uploads/?mount={DIGEST}&from=c", "mount"),
        ("PATCH", "/v2/a/b/blobs/uploads/7", "upload PATCH"),
        ("PUT", f"/v2/a/b/blobs/uploads/7?digest={DIGEST}", "upload PUT"),
        ("GET", "/token?scope=repository:a/b:pull", "token"),
        ("GET", "/else", "other"),
        # A repository may be called as a route is.
        ("GET", "/v2/blobs/uploads/manifests/1.0", "manifest GET"),
    ],
)
def test_a_request_is_counted_as_what_it_asks_for(method: str, target: str, kind: str) -> None:
    assert line(method, target).kind == kind


def test_lines_add_up() -> None:
    traffic = Traffic.of(
        [
            line("GET", "/v2/", ended=1.0, lasted=1.0),
            line("GET", "/v2/", ended=1.5, lasted=1.0, connection="2"),
            line("PUT", "/v2/a/manifests/1", ended=2.5, lasted=0.5, connection="2"),
        ]
    )

    assert (traffic.requests, traffic.connections, traffic.peak) == (3, 2, 2)
    assert traffic.kinds == {"ping": 2, "manifest PUT": 1}
    assert (traffic.received, traffic.sent) == (300, 6000)


def test_a_meter_reads_each_line_once_and_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = "7\t1\tGET\t/v2/\t200\t1\t2\t3.0\t0.1\n"
    log.write_text(text)
    waiting = iter([1, 1, 0, 0, 0, 0, 0, 0])
    meter = Meter(log, lambda: next(waiting))

    assert len(meter.read()) == 1
    assert next(waiting) == 0
    log.write_text(text * 3)
    assert len(Meter(log, lambda: 0).read()) == 3
    assert len(meter.read()) == 2


def test_a_new_connection_costs_two_round_trips_more_and_delays_all_that_is_asked_on_it_meanwhile() -> None:
    distance = Distance()
    distance.set(0.1)

    delays = [distance.delay("1", now) for now in (10.0, 10.1, 10.2, 20.0)]

    assert delays == pytest.approx([0.3, 0.2, 0.1, 0.1])
    assert distance.delay("2", 20.0) == pytest.approx(0.3)
    distance.set(0.0)
    assert distance.delay("3", 30.0) == 0


def test_a_run_costs_what_it_and_its_children_use(tmp_path: Path) -> None:
    burn = (
        "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: x = bytearray(30_000_000)"
    )
    script = f'python3 -c "{burn}" & python3 -c "{burn}"; wait; echo done; exit 3'
    cost = run(["sh", "-c", script], environ={"PATH": "/usr/bin:/bin"}, log=tmp_path / "log", limit=30, own=())

    assert cost.code == 3
    # What they burn, and what Python needs to start, which depends on the machine; ours is not in it.
    assert 0.6 <= cost.cpu < 10
    assert cost.memory > 30_000_000
    assert (tmp_path / "log").read_text() == "done\n"


def test_a_run_is_ended_with_its_children_when_its_time_is_over(tmp_path: Path) -> None:
    cost = run(
        ["sh", "-c", "sleep 600 & sleep 600"], environ={"PATH": "/bin"}, log=tmp_path / "log", limit=0.3, own=()
    )

    assert cost.code == -9


def test_the_last_tag_is_the_last_that_was_set() -> None:
    lines = [
        line("PUT", "/v2/a/b/manifests/1.0", ended=2.0, status=201),
        line("PUT", "/v2/a/b/manifests/1.1", ended=3.0, status=201),
        line("PUT", "/v2/a/b/manifests/1.2", ended=4.0, status=400),
        line("PUT", f"/v2/a/b/manifests/{DIGEST}", ended=5.0, status=201),
        line("GET", "/v2/a/b/manifests/1.1", ended=6.0),
    ]

    assert Traffic.of(lines).tagged == 3.0
    assert Traffic.of(lines[2:]).tagged is None


async def test_a_relay_hands_on_what_both_sides_send() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(100_000))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        with relaying(1e9, server.sockets[0].getsockname()) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            sent = bytes(range(250)) * 400
            writer.write(sent)
            assert await reader.read(-1) == sent
            writer.close()
