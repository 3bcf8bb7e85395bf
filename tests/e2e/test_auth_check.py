"""`ocync auth check`: which credentials were found where, and what the registries say to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e import readme
from e2e.accounts import PASSWORD, TOKEN, USERNAME, encoded
from servers.process import free_port

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry

CHECK = ("auth", "check", "-c", "ocync.yaml")


def test_accepted_credentials_are_told_with_their_origin(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    done = ready(*CHECK)

    assert (done.code, done.err) == (0, ""), done
    first, second = done.out.splitlines()
    assert first.startswith(f"src ({source.host}): accepted: user name and password from ")
    assert "${CHAINGUARD_USERNAME}" in first
    assert second.startswith(f"ghcr ({target.host}): accepted: token from ")
    assert "${GITHUB_TOKEN}" in second


def test_nothing_is_changed_by_looking(ready: Program, source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    ready(*CHECK)

    assert {request.method for registry in (source, target) for request in registry.requests} == {"GET"}
    assert target.repositories == {}


def test_a_refused_registry_is_told_beside_an_accepted_one(ready: Program) -> None:
    done = ready.knowing(GITHUB_TOKEN="expired-yesterday")(*CHECK)

    assert done.code == 4, done
    first, second = done.out.splitlines()
    assert ": accepted: " in first
    assert ": refused: " in second


def test_json_is_for_programs(ready: Program, source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    done = ready.knowing(CHAINGUARD_PASSWORD="expired-yesterday")(*CHECK, "--json")

    assert done.code == 4, done
    found = {finding["registry"]: finding for finding in done.report}
    assert {name: finding["verdict"] for name, finding in found.items()} == {"src": "refused", "ghcr": "accepted"}
    assert found["src"]["host"] == source.host
    assert found["ghcr"]["credentials"] == "token"
    assert "registries.ghcr.token" in found["ghcr"]["origin"]


def test_quiet_tells_only_what_is_wrong(ready: Program) -> None:
    good, bad = ready(*CHECK, "-q"), ready.knowing(GITHUB_TOKEN="expired-yesterday")(*CHECK, "-q")

    assert (good.code, good.said) == (0, "")
    assert bad.code == 4
    assert len(bad.out.splitlines()) == 1


def test_a_registry_that_is_down_is_a_failure_of_another_kind(program: Program) -> None:
    port = free_port()
    program.write(f"registries: {{ src: {{ url: 'http://127.0.0.1:{port}' }} }}\nmappings: []\n")

    done = program(*CHECK)

    assert done.code == 2, done
    assert f"src (127.0.0.1:{port}): failed: " in done.out


def test_each_kind_of_credentials_is_named(
    program: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    file = program.docker_config({"auths": {source.host: {"auth": encoded(USERNAME, PASSWORD)}}})
    program.write(TOKEN + "\n", "token")
    program.write(f"""
registries:
  docker: {{ url: "{source.url}", auth_type: docker_config }}
  auto: {{ url: "{source.url}" }}
  nobody: {{ url: "{source.url}", auth_type: anonymous }}
  file: {{ url: "{target.url}", auth_type: static_token, token_file: token }}
  folder: {{ url: "oci:./mirror" }}
mappings: [ {{ from: chainguard/static, source: docker, targets: file }} ]
""")

    done = program(*CHECK, "--json")

    assert done.code == 0, done
    found = {finding["registry"]: (finding["verdict"], finding["credentials"]) for finding in done.report}
    assert found == {
        "docker": ("accepted", "user name and password"),
        "auto": ("accepted", "user name and password"),
        "nobody": ("anonymous", "anonymous"),
        "file": ("accepted", "token"),
        "folder": ("folder", ""),
    }
    origins = {finding["registry"]: finding["origin"] for finding in done.report}
    assert str(file) in origins["docker"]
    assert "token" in origins["file"]


def test_several_configurations_are_checked_in_one_go(ready: Program, source: ScriptedRegistry) -> None:
    ready.write(readme.configuration(source.url, "oci:./mirror").replace("oci:./mirror", source.url), "second.yaml")

    done = ready(*CHECK, "-c", "second.yaml")

    assert len(done.out.splitlines()) == 4
