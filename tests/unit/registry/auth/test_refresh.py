"""Logins that end are made again before they end, once for all, and used on while they last."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logins import Clock
from ocync.lib.errors import AuthError, ExitCode, NetworkError, OcyncError
from ocync.registry.auth.credential import UserPassword
from ocync.registry.auth.refresh import Login, RenewingSource, bounded, life_of
from ocync.registry.retry import is_retryable


class Cloud:
    """Gives a new password with each login."""

    def __init__(self, life: float = 3600.0) -> None:
        self.life = life
        self.logins = 0
        self.error: OcyncError | None = None
        self.clock = Clock()
        self.source = RenewingSource(self.log_in, clock=self.clock)

    async def log_in(self) -> Login:
        self.logins += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        credential = UserPassword(username="u", password=f"p{self.logins}", origin="a cloud")
        return Login(credential=credential, life=self.life)


async def test_one_login_serves_all_who_ask_at_once() -> None:
    cloud = Cloud()

    found = await asyncio.gather(*(cloud.source.credential(f"team/{n}") for n in range(50)))

    assert cloud.logins == 1
    assert len({id(each) for each in found}) == 1


@pytest.mark.parametrize(("life", "kept", "renewed"), [(12 * 3600, 42899, 42901), (600, 449, 451), (0.5, 2.9, 3.1)])
async def test_a_login_is_renewed_before_its_end_and_no_earlier(life: float, kept: float, renewed: float) -> None:
    cloud = Cloud(life)
    first = await cloud.source.credential("")

    cloud.clock.now += kept
    assert await cloud.source.credential("") is first
    cloud.clock.now += renewed - kept
    assert await cloud.source.credential("") is not first
    assert cloud.logins == 2


async def test_what_was_refused_is_replaced_once_however_many_were_refused_with_it() -> None:
    cloud = Cloud()
    old = await cloud.source.credential("")

    found = await asyncio.gather(*(cloud.source.credential("", refused=old) for _ in range(20)))

    assert cloud.logins == 2
    assert {id(each) for each in found} == {id(await cloud.source.credential(""))}
    assert await cloud.source.credential("", refused=old) is found[0]


async def test_a_login_that_lasts_is_used_on_when_it_can_not_be_renewed(caplog: pytest.LogCaptureFixture) -> None:
    cloud = Cloud()
    first = await cloud.source.credential("")
    cloud.error = NetworkError("the cloud is down", host="h")

    cloud.clock.now += 3400
    assert await cloud.source.credential("") is first
    assert await cloud.source.credential("") is first
    assert cloud.logins == 2  # and not with each request
    assert "lasts 200 s more: the cloud is down" in caplog.text

    cloud.clock.now += 31
    cloud.error = None
    assert await cloud.source.credential("") is not first


async def test_a_login_that_has_ended_is_not_used_on() -> None:
    cloud = Cloud()
    await cloud.source.credential("")
    cloud.error = NetworkError("the cloud is down", host="h")

    cloud.clock.now += 3601
    with pytest.raises(NetworkError, match="the cloud is down"):
        await cloud.source.credential("")


async def test_what_was_refused_is_not_used_on_when_it_can_not_be_renewed() -> None:
    cloud = Cloud()
    old = await cloud.source.credential("")
    cloud.error = AuthError("no more", host="h")

    with pytest.raises(AuthError, match="no more"):
        await cloud.source.credential("", refused=old)


async def test_a_login_that_failed_is_tried_again_by_the_next_who_asks() -> None:
    cloud = Cloud()
    cloud.error = NetworkError("down", host="h")
    with pytest.raises(NetworkError):
        await cloud.source.credential("")

    cloud.error = None
    assert await cloud.source.credential("") == UserPassword(username="u", password="p2", origin="")


async def test_a_login_that_is_refused_is_tried_again_every_half_minute_and_not_for_each_image() -> None:
    cloud = Cloud()
    cloud.error = AuthError("you may not", host="h", status=400, hint="ask somebody")
    for _ in range(20):
        with pytest.raises(AuthError, match="you may not") as caught:
            await cloud.source.credential("")
        assert (caught.value.host, caught.value.status, caught.value.hint) == ("h", 400, "ask somebody")
    assert cloud.logins == 1

    cloud.clock.now += 31
    cloud.error = None
    found = await cloud.source.credential("")
    assert found == UserPassword(username="u", password="p2", origin="")
    assert await cloud.source.credential("", refused=found) is not found
    assert cloud.logins == 3


async def test_a_login_that_hangs_is_the_network_s_failure_and_costs_its_time_once_for_all_images() -> None:
    cloud, hangs = Cloud(), asyncio.Event()

    async def hang() -> Login:
        cloud.logins += 1
        await hangs.wait()
        return Login(credential=UserPassword(username="u", password="p", origin="a cloud"), life=3600)

    source = RenewingSource(bounded("h", hang, seconds=0.05), clock=cloud.clock)
    for _ in range(20):
        with pytest.raises(NetworkError, match=r"h: the cloud's login was not done within 0\.05 s") as caught:
            await source.credential("")
        # Again at the end of the pass, and not five times for each request.
        assert caught.value.retryable
        assert not is_retryable(caught.value)
        assert caught.value.exit_code is ExitCode.FAILED
    assert cloud.logins == 1

    cloud.clock.now += 31
    hangs.set()
    assert await source.credential("") == UserPassword(username="u", password="p", origin="")


def jwt(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


@pytest.mark.parametrize(
    ("claims", "life"),
    [
        ({"iat": 1000, "exp": 4600}, 3600.0),
        ({"nbf": 1000, "exp": 1600.5}, 600.5),
        ({"exp": 4600}, 7.0),
        ({"iat": 1000}, 7.0),
        ({"iat": 1000, "exp": 1000}, 7.0),
        ({"iat": 1000, "exp": 10**400}, 7.0),
        ({"iat": True, "exp": 1000}, 7.0),
        ({"iat": "1000", "exp": "4600"}, 7.0),
        ([1], 7.0),
    ],
)
def test_a_json_web_token_lasts_from_its_beginning_to_its_end(claims: object, life: float) -> None:
    assert life_of(jwt(claims), otherwise=7.0) == life


@given(st.one_of(st.text(), st.builds(lambda a, b, c: f"{a}.{b}.{c}", st.text(), st.text(), st.text())))
def test_any_text_has_a_life(text: str) -> None:
    assert life_of(text, otherwise=7.0) > 0
