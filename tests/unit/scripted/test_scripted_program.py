"""The scripted registry in a thread, and as a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import scripted
from scripted import ScriptedRegistry, build, faults
from scripted.background import as_process, in_thread
from scripted.demo import IMAGES

SECRETS = {"U": "demo", "P": "demo-password"}


@pytest.fixture
def http() -> httpx.Client:
    with httpx.Client(trust_env=False, timeout=10) as http:
        yield http


def token_for(http: httpx.Client, url: str, repository: str, auth: tuple[str, str] | None) -> dict[str, str]:
    answer = http.get(f"{url}/token?scope=repository:{repository}:pull", auth=auth)
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def test_it_runs_in_a_thread_and_can_be_seen_from_the_test(http: httpx.Client) -> None:
    with in_thread(ScriptedRegistry()) as registry:
        registry.seed("a/b", "1.0", build.image())
        registry.on("GET", "/manifests/", times=1, respond=faults.answer(503))
        statuses = [http.get(f"{registry.url}/v2/a/b/manifests/1.0").status_code for _ in range(2)]
        assert statuses == [503, 200]
        assert registry.count() == 2


def test_a_thread_s_registry_is_checked_at_the_end(http: httpx.Client) -> None:
    image = build.image()
    with (
        pytest.raises(AssertionError, match="missing"),
        in_thread(ScriptedRegistry(check_references=False)) as registry,
    ):
        headers = {"Content-Type": image.root.media_type}
        http.put(f"{registry.url}/v2/a/b/manifests/1.0", content=image.root.raw, headers=headers)


def test_the_program_serves_the_demo_as_cgr_dev_does(http: httpx.Client) -> None:
    arguments = ("--auth", "bearer", "--user-env", "U:P", "--seed-demo", "--control")
    with as_process(*arguments, env=SECRETS) as running:
        assert http.get(f"{running.url}/v2/").status_code == 401
        anonymous = token_for(http, running.url, "chainguard/python", None)
        tags = http.get(f"{running.url}/v2/chainguard/python/tags/list", headers=anonymous).json()["tags"]
        assert tags == ["latest", "latest-dev"]
        known = token_for(http, running.url, "chainguard/python", ("demo", "demo-password"))
        tags = http.get(f"{running.url}/v2/chainguard/python/tags/list", headers=known).json()["tags"]
        signatures = [tag for tag in tags if tag.startswith("sha256-") and tag.endswith(".sig")]
        assert tags == sorted([*signatures, *(tag for names in IMAGES["chainguard/python"] for tag in names)])
        assert len(signatures) == 1
        other = http.get(f"{running.url}/v2/chainguard/static/manifests/latest", headers=known)
        assert other.status_code == 403
        state = running.state()
        assert (state["tokens"], state["incomplete"], state["violations"]) == (2, [], [])
        assert len(running.requests()) == state["requests"] == 6


def test_the_demo_is_a_few_mebibytes_and_shares_layers() -> None:
    registry = ScriptedRegistry()
    scripted.demo.seed(registry)
    blobs = {digest: blob.size for found in registry.repositories.values() for digest, blob in found.blobs.items()}
    assert 2_000_000 < sum(blobs.values()) < 8_000_000
    static, python = (registry.repositories[f"chainguard/{name}"].blobs for name in ("static", "python"))
    assert len(static.keys() & python.keys()) >= 2
    assert registry.incomplete_tags() == []


def test_faults_and_behaviour_are_set_from_outside(http: httpx.Client) -> None:
    with as_process("--control", "--behaviour", '{"referrers": false}') as running:
        running.on("GET", "^/v2/$", "answer", status=503, times=1)
        assert [http.get(f"{running.url}/v2/").status_code for _ in range(2)] == [503, 200]
        referrers = f"{running.url}/v2/a/referrers/sha256:{'0' * 64}"
        assert http.get(referrers).status_code == 404
        assert http.post(f"{running.url}/_scripted/behaviour", json={"referrers": True}).status_code == 200
        assert http.get(referrers).status_code == 200
        assert http.post(f"{running.url}/_scripted/behaviour", json={"nonsense": 1}).status_code == 400
        assert http.post(f"{running.url}/_scripted/rules", json={"fault": "__import__"}).status_code == 400
        running.clear()
        assert running.state()["requests"] == 0


def test_without_control_nothing_is_told(http: httpx.Client) -> None:
    with as_process() as running:
        assert http.get(f"{running.url}/_scripted/state").status_code == 404


def test_basic_asks_for_the_user_of_the_environment(http: httpx.Client) -> None:
    with as_process("--auth", "basic", "--user-env", "U:P:pull", env=SECRETS) as running:
        assert http.get(f"{running.url}/v2/").status_code == 401
        known = ("demo", "demo-password")
        assert http.get(f"{running.url}/v2/", auth=known).status_code == 200
        assert http.post(f"{running.url}/v2/a/blobs/uploads/", auth=known).status_code == 403


def test_sigterm_ends_it_with_a_report(http: httpx.Client, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with as_process("--report", str(report), "--folder", str(tmp_path)) as running:
        http.get(f"{running.url}/v2/")
    assert running.process.returncode == 0
    assert json.loads(report.read_text())["requests"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--auth", "basic", "--user-env", "NO_SUCH:P"], "NO_SUCH is not set", id="no such variable"),
        pytest.param(["--behaviour", '{"x": 1}'], "--behaviour has no x", id="no such option"),
        pytest.param(["--behaviour", "{"], "Expecting property name", id="not JSON"),
    ],
)
def test_wrong_options_are_refused(arguments: list[str], message: str) -> None:
    environment = {**os.environ, **SECRETS, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "scripted", *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = "import sys; import scripted.__main__, scripted.background, scripted.certificates; print(*sys.modules)"
    folder = str(Path(scripted.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {folder!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) <= {"scripted", "__main__"}
