"""What must hold in a cluster, one function each: it returns what to tell of it, and raises what was wrong."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from typing import TYPE_CHECKING, Any

from cluster.jobs import Release, terminated
from cluster.kubernetes import CommandError, Document, eventually, output
from cluster.outside import PULLER
from cluster.stage import assert_complete, assert_failed_at_once, one_line
from scripted import faults

if TYPE_CHECKING:
    from cluster.stage import Stage

PRIVILEGED: Document = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "privileged"},
    "spec": {"containers": [{"name": "x", "image": "x", "securityContext": {"privileged": True}}]},
}


async def restricted(stage: Stage) -> str:
    """Pod Security "restricted" is enforced in the namespace."""
    try:
        await stage.namespace.run("create", "--dry-run=server", "--filename=-", given=json.dumps(PRIVILEGED))
    except CommandError as error:
        assert 'violates PodSecurity "restricted' in str(error), error
        return "a privileged pod is refused"
    raise AssertionError("a privileged pod is let in")


async def installed(stage: Stage) -> str:
    """The page's values install, only hosts changed, and its Secret is created as it says."""
    for tag, seed in {"latest": 3, "latest-dev": 4, "1.1": 3, "1.0": 2}.items():
        stage.seed("chainguard/static", tag, seed)
    await stage.put_secret(stage.outside.password)
    shown = await stage.namespace.install(stage.release.name, stage.chart, stage.values("envfrom"))
    assert "STATUS: deployed" in shown
    return f"schedule {stage.values('envfrom')['cronjob']['schedule']}"


async def ticked(stage: Stage) -> str:
    """A real tick of the schedule runs a pass that fills the target; its summary is the termination message."""
    job = await stage.release.next_tick(set())
    pass_ = await stage.release.ended(job)
    assert_complete(pass_)
    count = stage.check_copied("chainguard/static", "myorg/static")
    stage.check_sound()
    assert 0 < len(pass_.message) <= 4096, "there is no termination message"
    for secret in (stage.outside.password, stage.outside.github_token):
        assert secret not in pass_.message
    pod = (await stage.release.pods(job))[0]
    assert not [v for v in pod["spec"]["volumes"] if "serviceAccountToken" in json.dumps(v)], "a token is mounted"
    return f"{count} tags in {pass_.seconds:.1f} s after the tick; message: {one_line(pass_.message)}"


async def followed(stage: Stage) -> str:
    """What the notes tell people to do for a run by hand works as it stands, and works twice."""
    notes = await output(stage.namespace.helm, "get", "notes", stage.release.name, "-n", stage.namespace.name)
    lines = notes.splitlines()
    (first,) = [number for number, line in enumerate(lines) if line.startswith("  run=")]
    commands = "set -e\n" + "\n".join(lines[first : first + 3]).replace("kubectl", stage.namespace.kubectl)
    for _ in range(2):
        told = await output("sh", "-c", commands)
        assert "sent in" in told, told
        # Their names tell seconds.
        await asyncio.sleep(1)
    return one_line("\n".join(lines[first : first + 3]))


async def measured(stage: Stage) -> str:
    """The pass is at the Pushgateway, grouped by namespace and release."""
    release = stage.release.name
    age = time.time() - stage.metric("ocync_last_success_timestamp_seconds", release)
    assert 0 <= age < 180, f"the last success was {age:.0f} s ago"
    images = stage.metric("ocync_last_run_images", release, result="failed")
    assert images == 0
    assert "pod" not in {label for _, pairs in stage.outside.metrics() for label, _ in pairs}
    return f"last success {age:.0f} s ago"


async def tested(stage: Stage) -> str:
    """`helm test` asks both registries with the release's own credentials."""
    shown = await output(
        stage.namespace.helm,
        "test",
        stage.release.name,
        "--namespace",
        stage.namespace.name,
        "--timeout=60s",
        "--logs",
    )
    assert "Succeeded" in shown, shown
    for registry in ("src", "ghcr"):
        assert f"\n{registry} (" in shown, shown
    assert shown.count(": accepted: ") == 2, shown
    return "auth check succeeded, and its log is shown"


async def rotated(stage: Stage) -> str:
    """A Secret changed between two ticks is used by the second."""
    await stage.release.suspend(on=True)
    known, asked = await stage.release.names(), len(stage.outside.source.requests)
    await stage.put_secret(stage.outside.rotate())
    stage.seed("chainguard/static", "2.0", 5)
    await stage.release.suspend(on=False)
    pass_ = await stage.release.ended(await stage.release.next_tick(known))
    assert_complete(pass_)
    assert stage.outside.asked_with_other_passwords(asked) == 0
    stage.check_copied("chainguard/static", "myorg/static")
    return "the second tick came with the new password and copied 2.0"


async def refused(stage: Stage) -> str:
    """Wrong credentials fail the Job at once, and the last success stays known."""
    release = stage.release
    await release.suspend(on=True)
    before = stage.metric("ocync_last_success_timestamp_seconds", release.name)
    await stage.put_secret("wrong")
    try:
        pass_ = await release.ended(await release.start("wrong-credentials"))
    finally:
        await stage.put_secret(stage.outside.password)
    assert_failed_at_once(pass_, 4)
    assert stage.metric("ocync_last_success_timestamp_seconds", release.name) == before
    assert stage.metric("ocync_last_run_images", release.name, result="failed") >= 1
    return f"exit 4 after {pass_.seconds:.1f} s; message: {one_line(pass_.message)}"


async def broken(stage: Stage) -> str:
    """A broken config that no schema can see fails the Job at once."""
    values = stage.values("envfrom")
    values["config"]["mappings"][0]["to"] = "${TEAM:?name the team}/static"
    values["cronjob"]["suspend"] = True
    await stage.release.suspend(on=True)
    await stage.namespace.install(stage.release.name, stage.chart, values)
    try:
        pass_ = await stage.release.ended(await stage.release.start("broken-config"))
    finally:
        values = stage.values("envfrom")
        values["cronjob"]["suspend"] = True
        await stage.namespace.install(stage.release.name, stage.chart, values)
    assert_failed_at_once(pass_, 3)
    assert "name the team" in pass_.message, pass_.message
    return f"exit 3 after {pass_.seconds:.1f} s; message: {one_line(pass_.message)}"


async def carried(stage: Stage) -> str:
    """The Docker config volume of the page works."""
    release = Release(name="lifted", namespace=stage.namespace)
    for tag, seed in {"3.12": 6, "3.13": 7}.items():
        stage.seed("chainguard/python", tag, seed)
    await stage.put_docker_config(PULLER, stage.outside.password)
    values = stage.values("docker-config")
    page = stage.values("envfrom")
    config: dict[str, Any] = values["config"]
    config["registries"]["ghcr"] = page["config"]["registries"]["ghcr"]
    config["defaults"] = copy.deepcopy(page["config"]["defaults"])
    config["mappings"] = [{"from": "chainguard/python", "to": "myorg/python"}]
    values |= {"envFrom": page["envFrom"], "cronjob": {"schedule": "0 0 1 1 *", "suspend": True}}
    await stage.namespace.install(release.name, stage.chart, values)
    try:
        pass_ = await release.ended(await release.start("from-docker-config"))
        assert_complete(pass_)
        count = stage.check_copied("chainguard/python", "myorg/python")
    finally:
        await stage.namespace.uninstall(release.name)
    return f"{count} tags that nobody sees without credentials"


async def deleted(stage: Stage) -> str:
    """Deleting the pod in the middle of a pass leaves the target sound, and the next tick finishes."""
    release, source = stage.release, stage.outside.source
    known = await release.names()
    stage.seed("chainguard/static", "3.0", 8, size=2_000_000)
    slow = source.on("GET", r"/blobs/", respond=faults.drip(size=1000, pause=1.0), authorized=True)
    await release.suspend(on=False)
    first = await release.next_tick(known)

    async def moving() -> bool:
        return any(
            request.sent for request in source.requests.matching("GET", r"/blobs/") if request.finished is None
        )

    await eventually("blobs to be on their way", moving, within=30)
    pod = (await release.pods(first))[-1]["metadata"]["name"]
    began = time.monotonic()
    await stage.namespace.run("delete", "pod", pod, "--wait=false")
    code: int | None = None

    async def gone() -> bool:
        nonlocal code
        stage.check_sound()
        found = [item for item in await release.pods(first) if item["metadata"]["name"] == pod]
        end = terminated(found[0]) if found else None
        code = end["exitCode"] if end else code
        return not found or end is not None

    await eventually("the deleted pod to end", gone, within=60, every=0.1)
    ended = time.monotonic() - began
    slow.end()
    assert stage.outside.target.resolve("myorg/static", "3.0") is None, (
        "the pass was over before the pod was deleted"
    )
    assert code in {5, None}, (
        f"the deleted pod ended with exit code {code}"
    )  # None: it was gone before it could be seen
    job = await release.ended(first)
    assert job.condition == "Complete", f"{first}: {job.reason}, exit codes {job.exit_codes}: {job.message}"
    last = await release.ended(await release.next_tick(known | {first}))
    assert_complete(last)
    stage.check_copied("chainguard/static", "myorg/static")
    stage.check_sound()
    return f"the pod ended with {code} in {ended:.1f} s, its Job and the next tick are {job.condition}"


async def removed(stage: Stage) -> str:
    """Uninstalling leaves nothing of the release but the pod of its last test, which is no part of it to Helm."""
    await stage.namespace.uninstall(stage.release.name)
    await stage.namespace.run("delete", "pod", f"{stage.release.cronjob}-auth-check", "--ignore-not-found")

    async def empty() -> bool:
        kinds = "cronjobs,jobs,pods,configmaps,serviceaccounts"
        return not await stage.namespace.items(kinds, stage.release.selector)

    await eventually("all objects to be gone", empty, within=60)
    return "no object is left"


ALL = (
    restricted,
    installed,
    ticked,
    followed,
    measured,
    tested,
    rotated,
    refused,
    broken,
    carried,
    deleted,
    removed,
)
