"""What follows a 401 or a 403: something new, once, or an error that says what to do."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from logins import PULL, PUSH, Clock, Given, basic, talking
from ocync.lib.errors import AuthError, OcyncError, RateLimitedError, ServerError
from ocync.registry.auth.credential import Anonymous, BearerToken, StaticToken, UserPassword
from scripted import Anonymous as Nobody
from scripted import Basic, Bearer, ScriptedRegistry, User, build, faults
from scripted.record import fingerprint
from scripted.tokens import Scope as Asked

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = User(name="robot", password="old-pass-0")
NEW = User(name="robot", password="new-pass-1")
READER = User(name="reader", password="r", push=())


def credential(user: User) -> UserPassword:
    return UserPassword(username=user.name, password=user.password, origin="registries.src.credentials (${PASS})")


def registry(auth: Bearer | Basic, **options: Any) -> ScriptedRegistry:
    made = ScriptedRegistry(auth=auth, **options)
    made.seed("team/app", "latest", build.image())
    made.seed("team/app", "1.0", build.image(label="1.0"))
    return made


def statuses(made: ScriptedRegistry, pattern: str = "manifests") -> list[int | None]:
    return [each.status for each in made.requests.matching("*", pattern)]


async def test_a_token_that_was_ended_is_renewed_once_for_all_who_had_it() -> None:
    auth = Bearer(users=(OLD,))
    async with registry(auth) as made, talking(made.url, Given(credential(OLD))) as talk:
        await talk.ask()
        auth.tokens.revoke_all()
        results = await asyncio.gather(*(talk.ask() for _ in range(20)))

    assert results == [200] * 20
    assert made.count("*", "^/token") == 2
    assert made.count("*", "manifests", status=401) == 20


async def test_a_fresh_token_that_is_refused_is_not_fetched_again() -> None:
    auth = Bearer(users=(OLD,))
    async with registry(auth) as made, talking(made.url, Given(credential(OLD))) as talk:
        made.on(
            "GET",
            "manifests",
            respond=faults.answer(401, headers={"WWW-Authenticate": f"Bearer realm={made.url}/token"}),
        )
        with pytest.raises(AuthError) as caught:
            await talk.ask()

    assert statuses(made) == [401]
    assert made.count("*", "^/token") == 1
    assert "refuses the user name and password from registries.src.credentials (${PASS})" in str(caught.value)
    assert caught.value.host == made.host


async def test_a_token_that_is_refused_for_want_of_scope_is_fetched_with_the_scope_that_is_named() -> None:
    async with registry(Bearer(users=(OLD,))) as made, talking(made.url, Given(credential(OLD))) as talk:
        # The caller asks for less than the upload needs.
        assert await talk.ask("/v2/team/app/blobs/uploads/", PULL, "POST") == 202
        assert await talk.ask("/v2/team/app/blobs/uploads/", PULL, "POST") == 202

    first, second = made.requests.matching("*", "^/token")
    assert "scope=repository%3Ateam%2Fapp%3Apull&" in first.query
    assert "scope=repository%3Ateam%2Fapp%3Apull%2Cpush" in second.query
    assert statuses(made, "uploads") == [401, 202, 202]


async def test_a_scope_that_is_never_granted_is_asked_for_once() -> None:
    async with registry(Bearer(users=(READER,))) as made, talking(made.url, Given(credential(READER))) as talk:
        assert await talk.ask("/v2/team/app/blobs/uploads/", PULL, "POST") == 401

        with pytest.raises(AuthError, match=r"insufficient_scope"):
            await talk.ask("/v2/team/app/blobs/uploads/", PUSH, "POST")

    assert statuses(made, "uploads") == [401, 401, 401]
    assert made.count("*", "^/token") == 3


async def test_a_cached_token_that_is_forbidden_is_replaced_once() -> None:
    async with registry(Bearer(users=(OLD,))) as made, talking(made.url, Given(credential(OLD))) as talk:
        await talk.ask()
        made.on("GET", "manifests", times=1, respond=faults.error(403, "DENIED"))
        assert await talk.ask() == 200

    first, second = made.requests.matching("*", "^/token")
    assert first.query == second.query
    used = [each.fingerprint for each in made.requests.matching("*", "manifests")]
    assert used[0] == used[1] != used[2]


async def test_a_fresh_token_that_is_forbidden_is_believed() -> None:
    async with registry(Bearer()) as made, talking(made.url) as talk:
        assert await talk.ask("/v2/team/app/manifests/1.0") == 403

    assert statuses(made) == [403]
    assert made.count("*", "^/token") == 1


async def test_many_that_are_forbidden_cost_one_more_token() -> None:
    # cgr.dev answers 403 for the tags that are not for everyone.
    async with registry(Bearer()) as made, talking(made.url) as talk:
        await talk.ask()
        for _ in range(5):
            assert await asyncio.gather(*(talk.ask("/v2/team/app/manifests/1.0") for _ in range(4))) == [403] * 4

    assert made.count("*", "^/token") == 2


async def test_a_token_of_another_age_may_be_replaced_after_a_403_again() -> None:
    clock = Clock()
    async with registry(Bearer()) as made, talking(made.url, clock=clock) as talk:
        for _ in range(2):
            for path in ("latest", "1.0", "1.0"):
                await talk.ask(f"/v2/team/app/manifests/{path}")
            clock.now += 300

    assert made.count("*", "^/token") == 4


async def test_those_whose_token_was_replaced_meanwhile_get_the_new_one() -> None:
    async with registry(Bearer(users=(OLD,))) as made, talking(made.url, Given(credential(OLD))) as talk:
        used = await talk.authorizer.header(PULL)
        await talk.authorizer.header(PULL)
        new = await talk.authorizer.forbidden(PULL, used)
        late = await talk.authorizer.forbidden(PULL, used)

    assert used != new == late
    assert made.count("*", "^/token") == 2


async def test_what_is_no_token_of_the_service_is_not_replaced_after_a_403() -> None:
    held = BearerToken(token="t", origin="a test")
    async with registry(Bearer(users=(OLD,))) as made:
        for source in (Given(held), Given(StaticToken(token="t", origin="a test"))):
            async with talking(made.url, source) as talk:
                used = await talk.authorizer.header(PULL)
                assert used == "Bearer t"
                assert await talk.authorizer.forbidden(PULL, used) is None

    assert made.count("*", "^/token") == 0


async def test_a_password_that_has_ended_is_read_again_after_a_403_once_for_all() -> None:
    # ECR says 403 to a password that has ended.
    auth = Basic(users=(OLD,))
    source = Given(credential(OLD))
    async with registry(auth) as made, talking(made.url, source) as talk:
        used = await talk.authorizer.header(PULL)
        auth.users, source.now = (NEW,), credential(NEW)
        made.on("GET", "manifests", times=4, respond=faults.error(403, "DENIED", "Your token has expired"))

        assert await asyncio.gather(*(talk.ask() for _ in range(4))) == [200] * 4
        assert await talk.authorizer.header(PULL) != used
    assert source.reads == 2


async def test_a_password_that_lacks_a_right_is_read_again_once_in_ten_minutes() -> None:
    clock, source = Clock(), Given(credential(OLD))
    async with registry(Basic(users=(OLD,))) as made, talking(made.url, source, clock=clock) as talk:
        made.on("GET", "manifests", respond=faults.error(403, "DENIED"))
        for _ in range(5):
            assert await talk.ask() == 403
        assert source.reads == 2
        clock.now += 601
        assert await talk.ask() == 403
        assert await talk.ask() == 403
    assert source.reads == 3
    assert made.count("GET", "manifests") == 7  # none was sent twice with the same password


async def test_who_was_never_asked_shows_credentials_after_a_403() -> None:
    async with ScriptedRegistry() as made, talking(made.url, Given(credential(OLD))) as talk:
        made.seed("team/app", "latest", build.image())
        made.on(
            "GET",
            "manifests",
            when=lambda request: "authorization" not in request.headers,
            respond=faults.error(403, "DENIED"),
        )
        assert await talk.ask() == 200

    assert [each.scheme for each in made.requests.matching("*", "manifests")] == [None, "Basic"]


@pytest.mark.parametrize(
    "auth",
    [lambda: Bearer(users=(NEW,), anonymous=None), lambda: Basic(users=(NEW,))],
    ids=["bearer", "basic"],
)
async def test_a_rotated_password_is_read_again_when_the_old_one_is_refused(
    auth: Callable[[], Bearer | Basic],
) -> None:
    source = Given(credential(OLD))
    async with registry(auth()) as made, talking(made.url, source) as talk:
        await source.credential("")
        source.now = credential(NEW)
        assert await asyncio.gather(*(talk.ask() for _ in range(10))) == [200] * 10
        assert await talk.ask() == 200

    assert source.reads == 2


async def test_a_registry_token_that_was_replaced_is_read_again() -> None:
    auth = Bearer(users=(OLD,), anonymous=None)
    async with registry(auth) as made:
        value = auth.tokens.mint(OLD, [Asked("team/app", frozenset({"pull"}))])
        source = Given(BearerToken(token="ended", origin="F"))
        async with talking(made.url, source) as talk:
            await source.credential("")
            source.now = BearerToken(token=value, origin="F")
            assert await asyncio.gather(*(talk.ask() for _ in range(5))) == [200] * 5

    assert source.reads == 2
    assert made.count("*", "^/token") == 0


async def test_a_password_that_is_rotated_between_requests_costs_no_failure() -> None:
    source = Given(credential(OLD))
    auth = Basic(users=(OLD,))
    async with registry(auth) as made, talking(made.url, source) as talk:
        assert await talk.ask() == 200
        auth.users, source.now = (NEW,), credential(NEW)
        assert await talk.ask() == 200
        assert await talk.ask() == 200

    assert statuses(made) == [200, 401, 200, 200]
    assert made.requests[-1].fingerprint == fingerprint(basic(NEW.name, NEW.password))[1]


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        (Basic(users=(NEW,)), "refuses the user name and password from registries.src.credentials (${PASS})"),
        (Bearer(users=(NEW,)), "answered 401: UNAUTHORIZED: wrong credentials"),
        (Bearer(users=(NEW,), bad_credentials_status=403), "answered 403: UNAUTHORIZED: wrong credentials"),
    ],
    ids=["basic", "bearer", "bearer with 403"],
)
async def test_wrong_credentials_are_told_with_their_origin_and_shown_once(auth: Bearer | Basic, told: str) -> None:
    async with registry(auth) as made, talking(made.url, Given(credential(OLD))) as talk:
        with pytest.raises(AuthError) as caught:
            await talk.ask()

    assert told in str(caught.value)
    assert "registries.src.credentials (${PASS})" in str(caught.value)
    assert len([each for each in made.requests if each.scheme is not None]) == 1


async def test_basic_without_credentials_is_told_with_what_to_do() -> None:
    source = Given(Anonymous(origin="no entry for it in docker config F", hint="log in with docker login"))
    async with registry(Basic(users=(OLD,))) as made, talking(made.url, source) as talk:
        with pytest.raises(AuthError) as caught:
            await talk.ask()

    assert str(caught.value) == (
        f"{made.host} wants credentials and there are none: no entry for it in docker config F; "
        "log in with docker login"
    )


@pytest.mark.parametrize(
    ("respond", "kind"),
    [
        (faults.too_many(seconds=1), RateLimitedError),
        (faults.answer(503), ServerError),
        (faults.reset(), OcyncError),
    ],
)
async def test_a_token_service_in_trouble_is_worth_another_try(respond: Any, kind: type[OcyncError]) -> None:
    async with registry(Bearer(users=(OLD,))) as made, talking(made.url, Given(credential(OLD))) as talk:
        made.on("GET", "^/token", times=2, respond=respond)
        with pytest.raises(kind) as caught:
            await talk.ask()
        assert caught.value.retryable
        while await asyncio.gather(talk.ask(), return_exceptions=True) != [200]:
            assert made.count("*", "^/token") < 4

    assert statuses(made) == [200]


async def test_a_registry_that_is_down_at_first_is_asked_again() -> None:
    async with registry(Bearer(users=(OLD,))) as made, talking(made.url, Given(credential(OLD))) as talk:
        made.on("GET", "^/v2/$", times=1, respond=faults.answer(502))
        with pytest.raises(ServerError):
            await talk.ask()
        assert await talk.ask() == 200


async def test_who_is_cancelled_while_a_token_is_fetched_takes_nobody_along() -> None:
    async with registry(Bearer(users=(OLD,))) as made, talking(made.url, Given(credential(OLD))) as talk:
        await talk.authorizer.header(frozenset())
        made.on("GET", "^/token.*team", respond=faults.stall(0.2))
        first = asyncio.ensure_future(talk.ask())
        await asyncio.sleep(0.05)
        others = [asyncio.ensure_future(talk.ask()) for _ in range(5)]
        await asyncio.sleep(0.05)
        first.cancel()
        assert await asyncio.gather(*others) == [200] * 5

    assert first.cancelled()
    assert made.count("*", "^/token.*team") == 2


async def test_harbor_s_basic_to_a_request_with_a_token_does_not_replace_bearer() -> None:
    auth = Bearer(users=(OLD,))
    async with registry(auth) as made, talking(made.url, Given(credential(OLD))) as talk:
        await talk.ask()
        auth.tokens.revoke_all()
        made.on(
            "GET",
            "manifests",
            times=1,
            respond=faults.answer(401, headers={"WWW-Authenticate": "Basic realm=harbor"}),
        )
        assert await talk.ask() == 200

    assert {each.scheme for each in made.requests.matching("*", "manifests")} == {"Bearer"}


@pytest.mark.parametrize(
    "auth",
    [
        Bearer(users=(OLD,)),
        Bearer(users=(NEW,)),
        Bearer(users=(NEW,), anonymous=None, bad_credentials_status=403),
        Basic(users=(OLD,)),
        Basic(users=(NEW,)),
        Basic(users=(), anonymous=Nobody()),
    ],
)
@pytest.mark.parametrize("static", [False, True], ids=["user", "static token"])
async def test_no_secret_is_logged_or_raised(
    auth: Bearer | Basic, static: bool, caplog: pytest.LogCaptureFixture
) -> None:
    secret = OLD.password
    shown = StaticToken(token=secret, origin="there") if static else credential(OLD)
    told = ""
    with caplog.at_level(1):
        async with registry(auth) as made, talking(made.url, Given(shown)) as talk:
            echo = f'{{"errors":[{{"code":"DENIED","message":"got {secret} {basic(OLD.name, secret)}"}}]}}'
            for _ in range(2):
                try:
                    await talk.ask()
                except OcyncError as error:
                    told += "".join(traceback.TracebackException.from_exception(error).format())
                if isinstance(auth, Bearer):
                    auth.tokens.revoke_all()
                made.on("GET", "^/token", respond=faults.answer(403, echo))
            told += repr(talk.authorizer) + "".join(record.getMessage() for record in caplog.records)

    assert caplog.records
    for hidden in (secret, basic(OLD.name, secret).split()[1], "Bearer "):
        assert hidden not in told
