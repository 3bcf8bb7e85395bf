"""Scopes of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.registry.auth.scope import Scope, allowed_by, merge, ordered, parse


def test_a_scope_is_written_in_its_canonical_form() -> None:
    assert str(Scope("library/nginx", ("push", "pull", "pull"))) == "repository:library/nginx:pull,push"
    assert str(Scope("catalog", ("*",), "registry")) == "registry:catalog:*"
    assert Scope("a", ("push", "pull")) == Scope("a", ("pull", "push"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("repository:a/b:pull,push", {Scope("a/b", ("pull", "push"))}, id="one"),
        pytest.param(
            "repository:a:pull,push repository:b:pull",
            {Scope("a", ("pull", "push")), Scope("b", ("pull",))},
            id="two",
        ),
        pytest.param("repository:host:5000/a:pull", {Scope("host:5000/a", ("pull",))}, id="colon in the name"),
        pytest.param("registry:catalog:*", {Scope("catalog", ("*",), "registry")}, id="another kind"),
        pytest.param(
            "repository:a:pull repository:a:push", {Scope("a", ("pull", "push"))}, id="one resource twice"
        ),
        pytest.param("", set(), id="nothing"),
        pytest.param("pull repository:a repository:a: :a:pull repository::pull", set(), id="not scopes"),
    ],
)
def test_the_scope_of_a_challenge_is_read(text: str, expected: set[Scope]) -> None:
    assert parse(text) == expected


def test_only_a_few_scopes_of_a_challenge_are_read() -> None:
    assert len(parse(" ".join(f"repository:r{n}:pull" for n in range(1000)))) == 16


def test_the_scope_with_push_is_asked_for_first() -> None:
    source, target = Scope("aaa", ("pull",)), Scope("zzz", ("pull", "push"))

    assert ordered({source, target}) == (target, source)


def test_actions_on_one_resource_are_merged() -> None:
    merged = merge([Scope("a", ("pull",)), Scope("a", ("push",)), Scope("b", ("pull",))])

    assert merged == {Scope("a", ("pull", "push")), Scope("b", ("pull",))}


def test_what_is_granted_covers_what_is_wanted_action_by_action() -> None:
    granted = [Scope("a", ("pull", "push"))]

    assert allowed_by([Scope("a", ("pull",))], granted)
    assert allowed_by([], granted)
    assert not allowed_by([Scope("b", ("pull",))], granted)
    assert not allowed_by([Scope("a", ("delete", "pull"))], granted)


@given(st.text(max_size=200))
def test_any_text_is_read_and_what_was_read_is_written_back(text: str) -> None:
    scopes = parse(text)

    assert parse(" ".join(map(str, scopes))) == scopes
