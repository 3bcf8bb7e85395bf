"""WWW-Authenticate, as the RFC has it and as servers write it, and what it says of a registry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logins import PULL, PUSH
from ocync.lib.errors import ProtocolError
from ocync.oci.reference import Registry
from ocync.registry.auth.challenge import (
    MAX_CHALLENGES,
    MAX_LENGTH,
    Challenge,
    Challenges,
    LocatedChallenge,
    choose,
    parse,
)
from ocync.registry.auth.scope import Scope
from steps import steps

URL = "https://registry.example/v2/team/app/manifests/1"
BEARER = 'Bearer realm="https://auth.example/token",service="s"'

TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+.^_`|~-", min_size=1, max_size=12)


def schemes(*headers: str) -> list[str]:
    return [each.scheme for each in parse(headers)]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"',
            {"realm": "https://auth.docker.io/token", "service": "registry.docker.io"},
            id="docker hub",
        ),
        pytest.param(
            'Bearer realm="https://r/token",scope="repository:a/b:pull,push",service="r"',
            {"realm": "https://r/token", "scope": "repository:a/b:pull,push", "service": "r"},
            id="comma within quotes",
        ),
        pytest.param(
            'bearer REALM = "https://r/token" , Service=r', {"realm": "https://r/token", "service": "r"}, id="loose"
        ),
        pytest.param(r'Bearer realm="a\"b\\c\,d"', {"realm": 'a"b\\c,d'}, id="escapes"),
        pytest.param(
            "Bearer realm=https://r/token,service=r", {"realm": "https://r/token", "service": "r"}, id="bare"
        ),
        pytest.param('Bearer realm="",service=""', {"realm": "", "service": ""}, id="empty values"),
        pytest.param('Bearer realm="https://r/t', {"realm": "https://r/t"}, id="unclosed quote"),
        pytest.param('Bearer realm="a\\', {"realm": "a"}, id="ends in an escape"),
        pytest.param('Bearer realm="1",realm="2"', {"realm": "1"}, id="the first of two"),
        pytest.param(', ,Bearer\trealm="x",,', {"realm": "x"}, id="empty list members"),
        pytest.param(
            'Bearer realm="x", "stray", service="y"', {"realm": "x", "service": "y"}, id="garbage between"
        ),
        pytest.param('Bearer realm="x" service="y"', {"realm": "x", "service": "y"}, id="a comma forgotten"),
    ],
)
def test_one_challenge_is_read_in_all_forms(header: str, expected: dict[str, str]) -> None:
    (challenge,) = parse([header])

    assert challenge.scheme == "bearer"
    assert {name: challenge.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(['Basic realm="a, b", Bearer realm="x",service="y"'], ["basic", "bearer"], id="in one header"),
        pytest.param(
            ["Negotiate", 'Basic realm="a"', 'Bearer realm="x"'], ["negotiate", "basic", "bearer"], id="three"
        ),
        pytest.param(["Negotiate, NTLM, Basic realm=a"], ["negotiate", "ntlm", "basic"], id="without parameters"),
        pytest.param(["Negotiate YWJj==, Bearer realm=x"], ["negotiate", "bearer"], id="token68"),
        pytest.param(["Bearer"], ["bearer"], id="bare scheme"),
        pytest.param([], [], id="no header"),
        pytest.param(["", " ", ",,,"], [], id="empty headers"),
        pytest.param(['realm="x"'], [], id="a parameter of nothing"),
        pytest.param(['=== "', "@@@", '"Bearer realm=x"'], [], id="garbage"),
    ],
)
def test_all_challenges_of_all_headers_are_read_in_order(headers: list[str], expected: list[str]) -> None:
    assert schemes(*headers) == expected


def test_a_token68_is_kept() -> None:
    assert parse(["Negotiate YWJj=="]) == (Challenge(scheme="negotiate", token68="YWJj=="),)


def test_a_parameter_belongs_to_the_challenge_before_it() -> None:
    basic, bearer = parse(['Basic realm="one", Bearer realm="two", scope="s"'])

    assert (basic.get("realm"), basic.get("scope")) == ("one", None)
    assert (bearer.get("realm"), bearer.get("scope")) == ("two", "s")


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        pytest.param(['Basic realm="a"', 'Bearer realm="x"'], "bearer", id="bearer before basic"),
        pytest.param(['Bearer service="x"', "Basic realm=a"], "basic", id="bearer without realm"),
        pytest.param(['Bearer realm=""', "Basic"], "basic", id="bearer with an empty realm"),
        pytest.param(["Negotiate", "Digest realm=a"], None, id="others"),
        pytest.param([], None, id="nothing"),
    ],
)
def test_bearer_is_preferred_and_others_are_not_answered(headers: list[str], scheme: str | None) -> None:
    chosen = choose(parse(headers))

    assert (chosen.scheme if chosen else None) == scheme


def test_reading_is_bounded() -> None:
    assert len(parse([", ".join(f"S{n}" for n in range(1000))] * 10)) == MAX_CHALLENGES
    assert len(parse(["Bearer " + ",".join(f"p{n}=v" for n in range(1000))])[0].parameters) == 32
    assert len(parse(['Bearer realm="' + "a" * 10 * MAX_LENGTH])[0].get("realm") or "") < MAX_LENGTH
    for evil in (
        "a=" * 100_000,
        '"' * 100_000,
        "\\" * 100_000,
        "Bearer " * 100_000,
        'x="\\' * 100_000,
        "=," * 99_999,
    ):
        assert steps(lambda evil=evil: parse([evil])) < 10 * MAX_LENGTH  # type: ignore[misc]


@given(st.lists(st.text(max_size=300), max_size=5))
def test_whatever_comes_is_read_without_an_error(headers: list[str]) -> None:
    assert choose(parse(headers)) is None or choose(parse(headers)) in parse(headers)


@given(st.lists(st.text('Bearer Basic realm="https://r/t",service=\\ \t', max_size=80), max_size=3))
def test_what_looks_like_a_challenge_is_read_without_an_error(headers: list[str]) -> None:
    for challenge in parse(headers):
        assert challenge.scheme == challenge.scheme.lower()
        assert challenge.scheme


@given(
    scheme=TOKEN,
    parameters=st.lists(
        st.tuples(TOKEN, st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"))), max_size=6
    ),
)
def test_what_is_quoted_by_the_rules_is_read_as_it_was(scheme: str, parameters: list[tuple[str, str]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters)

    (challenge,) = parse([header])

    assert challenge.scheme == scheme.lower()
    assert list(challenge.parameters) == [(name.lower(), value) for name, value in parameters]


def located(header: str, url: str = URL) -> LocatedChallenge:
    (challenge,) = parse([header])
    return LocatedChallenge(challenge=challenge, url=url)


def test_the_first_challenge_holds_for_the_whole_registry() -> None:
    known = Challenges()
    known.learn(located(BEARER), PULL)

    assert known.expected(PUSH) == known.expected(frozenset()) == located(BEARER)


def test_a_known_bearer_is_not_replaced_by_basic() -> None:
    known = Challenges()
    known.learn(located(BEARER), PULL)

    assert known.learn(located('Basic realm="harbor"'), PULL) == located(BEARER)
    assert known.expected(PUSH) == located(BEARER)


def test_a_known_basic_is_replaced_by_bearer_for_its_scopes_only() -> None:
    known = Challenges()
    known.learn(located("Basic realm=a"), PULL)

    assert known.learn(located(BEARER), PUSH) == located(BEARER)
    assert known.expected(PUSH) == located(BEARER)
    assert known.expected(PULL) == located("Basic realm=a")


def test_another_realm_holds_for_its_scopes_only() -> None:
    known, special = Challenges(), located('Bearer realm="https://nvcr.io/proxy_auth?scope=x"')
    known.learn(located(BEARER), PULL)

    assert known.learn(special, PUSH) == special
    assert known.expected(PUSH) == special
    assert known.expected(PULL) == located(BEARER)


def test_the_scopes_of_a_challenge_are_requested_together_with_ours() -> None:
    known = Challenges()
    known.learn(located(BEARER + ',scope="repository:mirror/team/app:pull repository:team/app:delete"'), PUSH)

    assert known.token_scopes(PUSH) == {
        Scope("team/app", ("delete", "pull", "push")),
        Scope("mirror/team/app", ("pull",)),
    }
    assert known.token_scopes(PULL) == PULL


def test_a_challenge_with_fewer_scopes_removes_none() -> None:
    known = Challenges()
    known.learn(located(BEARER + ',scope="repository:team/app:pull"'), PUSH)

    assert known.token_scopes(PUSH) == PUSH


def test_the_token_service_is_found_from_where_the_challenge_came() -> None:
    service = located('Bearer realm="/token"').service(Registry.parse("registry.example"))

    assert service.url == "https://registry.example/token"
    assert service.service is None
    assert service.host == "registry.example"


def test_a_token_service_that_may_not_be_asked_is_refused() -> None:
    with pytest.raises(ProtocolError):
        located('Bearer realm="https://127.0.0.1/token"').service(Registry.parse("registry.example"))
