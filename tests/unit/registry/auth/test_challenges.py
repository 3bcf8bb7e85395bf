"""What answers teach of how a registry authenticates."""

from __future__ import annotations

import pytest

from logins import PULL, PUSH
from ocync.lib.errors import ProtocolError
from ocync.oci.reference import Registry
from ocync.registry.auth.challenge import parse
from ocync.registry.auth.challenges import Challenges, Learned
from ocync.registry.auth.scope import Scope

URL = "https://registry.example/v2/team/app/manifests/1"
BEARER = 'Bearer realm="https://auth.example/token",service="s"'


def learned(header: str, url: str = URL) -> Learned:
    (challenge,) = parse([header])
    return Learned(challenge=challenge, url=url)


def test_the_first_challenge_holds_for_the_whole_registry() -> None:
    known = Challenges()
    known.learn(learned(BEARER), PULL)

    assert known.of(PUSH) == known.of(frozenset()) == learned(BEARER)


def test_a_bearer_is_not_given_up_for_a_basic() -> None:
    known = Challenges()
    known.learn(learned(BEARER), PULL)

    assert known.learn(learned('Basic realm="harbor"'), PULL) == learned(BEARER)
    assert known.of(PUSH) == learned(BEARER)


def test_a_basic_is_given_up_for_a_bearer_where_it_came() -> None:
    known = Challenges()
    known.learn(learned("Basic realm=a"), PULL)

    assert known.learn(learned(BEARER), PUSH) == learned(BEARER)
    assert known.of(PUSH) == learned(BEARER)
    assert known.of(PULL) == learned("Basic realm=a")


def test_another_realm_holds_for_its_scopes_only() -> None:
    known, special = Challenges(), learned('Bearer realm="https://nvcr.io/proxy_auth?scope=x"')
    known.learn(learned(BEARER), PULL)

    assert known.learn(special, PUSH) == special
    assert known.of(PUSH) == special
    assert known.of(PULL) == learned(BEARER)


def test_the_scope_of_a_challenge_is_asked_for_together_with_ours() -> None:
    known = Challenges()
    known.learn(learned(BEARER + ',scope="repository:mirror/team/app:pull repository:team/app:delete"'), PUSH)

    assert known.asked(PUSH) == {Scope("team/app", ("delete", "pull", "push")), Scope("mirror/team/app", ("pull",))}
    assert known.asked(PULL) == PULL


def test_a_challenge_that_asks_for_less_takes_nothing_away() -> None:
    known = Challenges()
    known.learn(learned(BEARER + ',scope="repository:team/app:pull"'), PUSH)

    assert known.asked(PUSH) == PUSH


def test_the_token_service_is_found_from_where_the_challenge_came() -> None:
    service = learned('Bearer realm="/token"').service(Registry.parse("registry.example"))

    assert service.url == "https://registry.example/token"
    assert service.service is None
    assert service.host == "registry.example"


def test_a_token_service_that_may_not_be_asked_is_refused() -> None:
    with pytest.raises(ProtocolError):
        learned('Bearer realm="https://127.0.0.1/token"').service(Registry.parse("registry.example"))
