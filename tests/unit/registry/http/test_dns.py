"""In which order addresses are tried."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from ocync.registry.http.dns import Address, in_order

SIX = socket.AF_INET6
FOUR = socket.AF_INET


def six(number: int) -> Address:
    return Address(SIX, (f"2001:db8::{number}", 443, 0, 0))


def four(number: int) -> Address:
    return Address(FOUR, (f"192.0.2.{number}", 443))


ALL = [six(1), six(2), four(1), four(2), four(3)]


@pytest.mark.parametrize(
    ("turn", "first", "expected"),
    [
        pytest.param(0, None, [six(1), four(1), six(2), four(2), four(3)], id="as the system says, by turns"),
        pytest.param(1, None, [six(2), four(2), six(1), four(3), four(1)], id="the next connection"),
        pytest.param(3, None, [six(2), four(1), six(1), four(2), four(3)], id="and so on"),
        pytest.param(0, FOUR, [four(1), six(1), four(2), six(2), four(3)], id="what worked comes first"),
        pytest.param(0, SIX, [six(1), four(1), six(2), four(2), four(3)], id="that it is the first already"),
    ],
)
def test_families_and_addresses_take_turns(turn: int, first: int | None, expected: list[Address]) -> None:
    assert in_order(ALL, turn=turn, first=first) == expected


def test_a_family_that_is_gone_is_not_missed() -> None:
    assert in_order([four(1)], turn=5, first=SIX) == [four(1)]


def test_addresses_are_shown_as_in_urls() -> None:
    assert (str(six(1)), str(four(1))) == ("[2001:db8::1]:443", "192.0.2.1:443")


def test_a_name_server_that_does_not_answer_does_not_keep_the_program_from_ending() -> None:
    program = """
import asyncio, socket, time
from ocync.registry.http.dns import Resolver

socket.getaddrinfo = lambda *_args, **_options: time.sleep(600)

async def main():
    try:
        await asyncio.wait_for(Resolver().addresses("registry.example", 443), 0.1)
    except TimeoutError:
        print("gave up")

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)

    assert (done.stdout, done.stderr) == ("gave up\n", "")
