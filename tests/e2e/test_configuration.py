"""`ocync validate` and `ocync expand`: what people do to configuration files, and what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from e2e import readme
from e2e.accounts import PASSWORD, TOKEN, USERNAME, VARIABLES, forms

if TYPE_CHECKING:
    from e2e.program import Program

GOOD = readme.CONFIG.encode()
LINES = GOOD.count(b"\n")
LAUGHS = b"a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + step, 98 + step, b", ".join([b"*%c" % (97 + step)] * 10)) for step in range(9)
)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xef\xbb\xbf" + GOOD, id="a byte order mark"),
        pytest.param(GOOD.replace(b"\n", b"\r\n"), id="line ends of Windows"),
        pytest.param(b"---\n" + GOOD + b"...\n", id="marks of a document"),
        pytest.param(GOOD + b"# caf\xc3\xa9 \xf0\x9f\x90\x8b\n", id="more than ASCII"),
    ],
)
def test_harmless_oddities_are_taken(program: Program, data: bytes) -> None:
    program.write(data)

    done = program.knowing(**VARIABLES)("validate", "ocync.yaml")

    assert (done.code, done.err) == (0, ""), done
    assert done.out == "ocync.yaml: valid: 2 mappings, 2 registries\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(GOOD.replace(b"    url: cgr", b"\turl: cgr"), ":4:1: a tab", id="a tab"),
        pytest.param(b"", ":1:1: is empty", id="nothing"),
        pytest.param(b"# later\n", ":1:1: is empty", id="a comment alone"),
        pytest.param(b"- registries\n", ":1:1: has a list at its top", id="a list at the top"),
        pytest.param(b"registries", ":1:1: has text at its top", id="text at the top"),
        pytest.param(GOOD.replace(b"TOKEN}", b"TOKEN"), ":12:12: registries.ghcr.token: a ${", id="no end of ${"),
        pytest.param(GOOD + b"# caf\xe9\n", f":{LINES + 1}:6: the byte 0xe9 is not UTF-8", id="Latin 1"),
        pytest.param(GOOD.decode().encode("utf-16"), ":1:1: the byte 0xff is not UTF-8", id="UTF-16"),
        pytest.param(GOOD + b"\0", f":{LINES + 1}:1: the invisible character U+0000", id="a NUL"),
        pytest.param(LAUGHS, "values, aliases expanded", id="a billion laughs"),
        pytest.param(b"[" * 100_000, "nested more than 64 levels", id="brackets without end"),
        pytest.param(b"#" * (9 << 20), ": is larger than 8 MiB", id="too large"),
        pytest.param(
            b"x: !!python/object/apply:os.system ['touch x']\n", ":1:4: tags such as !name", id="an object"
        ),
        pytest.param(GOOD + b"mappings: []\n", "'mappings' stands twice", id="a key twice"),
        pytest.param(GOOD.replace(b"mappings:", b"mapping:"), "mapping: ", id="a misspelt key"),
        pytest.param(GOOD.replace(b"source: src", b"source: scr"), "defaults.source: ", id="a misspelt name"),
        pytest.param(GOOD.replace(b"N}", b"N:?ask the operators}"), "ask the operators", id="a demanded variable"),
    ],
)
def test_what_can_not_be_used_is_one_line_that_says_where_and_why(program: Program, data: bytes, said: str) -> None:
    program.write(data)
    unset = {"CHAINGUARD_USERNAME": USERNAME, "CHAINGUARD_PASSWORD": PASSWORD}

    done = program.knowing(**unset)("validate", "ocync.yaml")

    assert (done.code, done.out) == (3, ""), done
    line = next(line for line in done.err.splitlines() if not line.startswith("warning: "))
    assert line.startswith("ocync.yaml:")
    assert said in line
    assert "Traceback" not in done.err
    assert {path.name for path in program.folder.iterdir()} == {"home", "ocync.yaml"}


def test_every_error_is_told_in_one_go_in_the_order_of_the_file(program: Program) -> None:
    program.write("""\
registries:
  src: { url: cgr.dev }
  dst: { url: registry.example }
  own: { url: "not a host", auth_typ: basic }
mappings:
  - { from: UPPER, source: src, targets: dst }
  - { from: a/b, source: nowhere, targets: [dst], tags: { latest: 0 } }
""")

    done = program("validate", "ocync.yaml")

    assert done.code == 3, done
    repositories = [line.split(":")[1:3] for line in done.err.splitlines()]
    assert [int(line) for line, _ in repositories] == sorted(int(line) for line, _ in repositories)
    assert {line for line, _ in repositories} == {"4", "6", "7"}
    assert "did you mean auth_type?" in done.err


def test_validate_asks_for_no_secrets_and_no_network(program: Program) -> None:
    program.write(GOOD)

    done = program("validate", "ocync.yaml")

    assert done.code == 0, done
    assert {line.split()[0] for line in done.err.splitlines()} == {"warning:"}
    assert "${GITHUB_TOKEN}" in done.err


def test_sync_does_not_begin_without_its_secrets_and_names_their_variables(program: Program) -> None:
    program.write(GOOD)

    done = program.knowing(CHAINGUARD_USERNAME=USERNAME, CHAINGUARD_PASSWORD="")("sync", "-c", "ocync.yaml")

    assert (done.code, done.out) == (3, ""), done
    first, second = done.err.splitlines()
    assert "registries.src.credentials.password" in first
    assert "${CHAINGUARD_PASSWORD} is empty" in first
    assert "registries.ghcr.token" in second
    assert "${GITHUB_TOKEN} is not set" in second


HIDING = """
registries:
  src: { url: "https://bot:inline-secret@cgr.dev", auth_type: basic,
         credentials: { username: "${CHAINGUARD_USERNAME}", password: "${CHAINGUARD_PASSWORD}" } }
  dst: { url: "${TARGET}", auth_type: static_token, token: "literal-secret" }
defaults: { source: src, targets: dst, tags: { glob: "v*" } }
mappings: [ { from: a/b } ]
metrics: { pushgateway: { url: "http://me:gateway-secret@push:9091" } }
"""
HIDDEN = {"inline-secret", "literal-secret", "gateway-secret", "variable-secret", PASSWORD}


def test_expand_merges_defaults_and_hides_every_secret(program: Program) -> None:
    program.write(HIDING)
    given = program.knowing(**VARIABLES, TARGET="https://bot:variable-secret@ghcr.io")

    done = given("expand", "ocync.yaml")

    assert done.code == 0, done
    document = yaml.safe_load(done.out)
    assert document["mappings"] == [
        {"from": "a/b", "to": "a/b", "source": "src", "targets": "dst", "tags": {"glob": "v*"}}
    ]
    assert document["registries"]["src"]["url"] == "https://***@cgr.dev"
    assert document["registries"]["dst"] == {
        "url": "https://***@ghcr.io",
        "auth_type": "static_token",
        "token": "***",
    }
    assert not [form for form in forms(HIDDEN) if form in done.said]


def test_expand_shows_secrets_where_that_is_asked_for_and_can_be_read_again(program: Program) -> None:
    program.write(GOOD)

    shown = program.knowing(**VARIABLES)("expand", "ocync.yaml", "--show-secrets").out
    program.write(shown)
    again = program("expand", "ocync.yaml", "--show-secrets").out

    assert yaml.safe_load(shown)["registries"]["ghcr"]["token"] == TOKEN
    assert again == shown
    assert program("validate", "ocync.yaml").err == ""


def test_a_secret_may_hold_any_character(program: Program) -> None:
    hostile = "a: # \"b' {c} $d ${e} \\ \n - x & * ! | > % @ ` é"
    program.write(GOOD)

    done = program.knowing(**{**VARIABLES, "CHAINGUARD_PASSWORD": hostile})(
        "expand", "ocync.yaml", "--show-secrets"
    )

    assert done.code == 0, done
    password = yaml.safe_load(done.out)["registries"]["src"]["credentials"]["password"]
    # A dollar sign is doubled, so that what is printed is a configuration that means the same.
    assert password == hostile.replace("$", "$$")
