"""`verify`: the keys and identities of a mapping, merged with the defaults, and what is wrong with them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sigstore
import yaml

import signing
from ocync.config.model import VerifyMode, VerifyRules
from ocync.verification.trusted_root import load_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unit.config.conftest import Load

PEM = signing.pem_of(signing.new_key())
OTHER = signing.pem_of(signing.new_key())
ROOT = signing.Sigstore().trusted_root()
Rules = "Callable[..., VerifyRules | None]"


def document(verify: Any, defaults: Any = None) -> str:
    return yaml.safe_dump(
        {
            "registries": {"src": {"url": "cgr.dev"}, "dst": {"url": "b.example"}},
            "defaults": {"source": "src", "targets": "dst", "verify": defaults},
            "mappings": [{"from": "a", "verify": verify}],
        },
        sort_keys=False,
    )


@pytest.fixture
def rules(read: Load) -> Callable[..., VerifyRules | None]:
    return lambda verify, defaults=None: read(document(verify, defaults)).mappings[0].verify


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "cosign.pub"
    path.write_text(PEM)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "trusted_root.json"
    path.write_text(ROOT)
    return path


def test_nothing_is_verified_by_default(rules: Callable[..., VerifyRules | None]) -> None:
    assert rules(None) is None
    assert rules({}) is None


def test_a_key_is_a_file_or_stands_in_the_config(rules: Callable[..., VerifyRules | None], key: Path) -> None:
    found = rules({"key": [str(key), OTHER]})

    assert found is not None
    assert found.mode is VerifyMode.ENFORCE
    assert [(each.name, each.pem) for each in found.keys] == [(str(key), PEM), ("mappings[0].verify.key[1]", OTHER)]


def test_an_identity_has_its_trusted_root(rules: Callable[..., VerifyRules | None], root: Path) -> None:
    entry = {"identity_regexp": "x.*", "issuer": "https://i.example", "trusted_root": str(root)}

    found = rules({"mode": "warn", "keyless": [entry]})

    assert found is not None
    (identity,) = found.keyless
    assert (identity.identity, identity.identity_regexp, identity.issuer) == (None, "x.*", "https://i.example")
    assert identity.trusted_root == ROOT
    assert found.mode is VerifyMode.WARN


@pytest.mark.parametrize("entry", [{}, {"trusted_root": None}])
def test_the_public_root_that_comes_with_sigstore_is_the_default(
    rules: Callable[..., VerifyRules | None],
    entry: dict[str, None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    found = rules({"keyless": [{**IDENTITY, **entry}]})

    assert found is not None
    (identity,) = found.keyless
    assert identity.root_name == f"the root that comes with sigstore {sigstore.__version__}"
    root = load_root(identity.trusted_root, "it")
    hosts = {entry["baseUrl"] for entry in json.loads(identity.trusted_root)["tlogs"]}
    assert "https://rekor.sigstore.dev" in hosts
    assert root.authorities
    assert not (tmp_path / "home").exists(), "nothing is kept beside it"


def test_a_missing_library_of_the_public_root_is_reported_with_its_path(
    problems: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sigstore", None)

    (found,) = problems(document({"keyless": [IDENTITY]}))

    assert "mappings[0].verify.keyless[0].trusted_root: to verify signatures needs sigstore" in found


def test_fields_of_a_mapping_win_over_those_of_the_defaults_one_by_one(
    rules: Callable[..., VerifyRules | None],
) -> None:
    defaults = {"mode": "warn", "key": PEM}

    inherited, stricter, other, off = (
        rules(verify, defaults) for verify in (None, {"mode": "enforce"}, {"key": OTHER}, {"mode": "off"})
    )

    assert inherited is not None
    assert stricter is not None
    assert other is not None
    assert (inherited.mode, [each.pem for each in inherited.keys]) == (VerifyMode.WARN, [PEM])
    assert (stricter.mode, [each.pem for each in stricter.keys]) == (VerifyMode.ENFORCE, [PEM])
    assert (other.mode, [each.pem for each in other.keys]) == (VerifyMode.WARN, [OTHER])
    assert off is None


def test_variables_are_filled_in(read: Load) -> None:
    config = read(document({"mode": "${MODE}", "key": "${KEY}"}), {"MODE": "warn", "KEY": PEM})

    verify = config.mappings[0].verify
    assert verify is not None
    assert (verify.mode, verify.keys[0].pem) == (VerifyMode.WARN, PEM)


IDENTITY = {"identity": "x", "issuer": "i"}


@pytest.mark.parametrize(
    ("verify", "why"),
    [
        pytest.param({"mode": "enforce"}, "names neither a key nor a keyless identity", id="nobody"),
        pytest.param({"key": [], "keyless": []}, "names neither a key nor a keyless identity", id="empty lists"),
        pytest.param({"mode": "strict", "key": PEM}, "mode", id="an unknown mode"),
        pytest.param({"key": "/nowhere/cosign.pub"}, "can't read /nowhere/cosign.pub: No such file", id="no file"),
        pytest.param({"key": "{folder}"}, "can't read", id="a folder"),
        pytest.param({"key": "{folder}/ocync.yaml"}, "is no public key in PEM", id="another file"),
        pytest.param({"key": "-----BEGIN PUBLIC KEY-----\nx"}, "is no public key in PEM", id="a broken key"),
        pytest.param({"keys": PEM}, "key", id="a misspelt field"),
        pytest.param({"keyless": [{"issuer": "i", "trusted_root": "{root}"}]}, "identity", id="no identity"),
        pytest.param(
            {"keyless": [{**IDENTITY, "identity_regexp": "y", "trusted_root": "{root}"}]}, "keep one", id="two"
        ),
        pytest.param({"keyless": [{"identity": "x"}]}, "issuer", id="no issuer"),
        pytest.param(
            {"keyless": [{**IDENTITY, "trusted_root": "/nowhere"}]}, "can't read /nowhere", id="no file of it"
        ),
        pytest.param(
            {"keyless": [{**IDENTITY, "trusted_root": "{folder}/ocync.yaml"}]},
            "is no JSON",
            id="another file of it",
        ),
        pytest.param(
            {"keyless": [{"identity_regexp": "(", "issuer": "i", "trusted_root": "{root}"}]},
            "no regular expression",
            id="a broken pattern",
        ),
    ],
)
@pytest.mark.parametrize("where", ["mapping", "defaults"])
def test_a_problem_is_reported_once_with_its_path(
    verify: dict[str, Any],
    why: str,
    where: str,
    problems: Callable[..., list[str]],
    tmp_path: Path,
    root: Path,
) -> None:
    text = json.dumps(verify).replace("{folder}", str(tmp_path)).replace("{root}", str(root))
    filled = json.loads(text)

    found = problems(document(filled) if where == "mapping" else document(None, filled))

    assert len(found) == 1, found
    assert why in found[0]
    assert "verify" in found[0]
