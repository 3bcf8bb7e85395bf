"""Runs that fail in part, and what happens while one is under way."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from cluster.jobs import MANUAL, Release
from cluster.kubernetes import eventually
from cluster.outside import PULLER
from cluster.stage import assert_complete, assert_failed_at_once, one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cluster.stage import Stage
    from scripted.rules import Action
    from scripted.wire import Request, Response

MOUNTED = "/home/nonroot/.docker/config.json"
SYNCED = 150
"""Seconds in which a kubelet puts a changed Secret into the pods that mount it."""


async def partly(stage: Stage) -> str:
    """A run of which a part fails is made once more, and what was copied before is not copied again."""
    release = Release(name="partly", namespace=stage.namespace)
    stage.seed("chainguard/static", "9.9", 99)
    values = stage.suspended("envfrom")
    values["config"]["mappings"].append({"from": "chainguard/nowhere", "to": "myorg/python"})
    await stage.namespace.install(release.name, stage.chart, values)
    try:
        run = await release.ended(await release.start("partly"), within=120)
        assert (run.condition, run.reason) == ("Failed", "BackoffLimitExceeded"), run
        assert run.exit_codes == [1, 1], run.exit_codes
        assert ", 0 unchanged" in run.containers[0]["message"] or "copied" in run.containers[0]["message"]
        assert "failed; 0 copied" in run.message, run.message
        assert "chainguard/nowhere" in run.message
    finally:
        await stage.namespace.uninstall(release.name)
    stage.check_copied("chainguard/static", "myorg/static")
    return f"exit 1, then 1 again; message: {one_line(run.message)}"


async def mistaken(stage: Stage) -> str:
    """What is wrong with a configuration is told by `kubectl describe`, in the very line of ocync."""
    release = Release(name="mistaken", namespace=stage.namespace)
    values = stage.suspended("envfrom")
    values["config"]["mappings"][0]["source"] = "${SOURCE}"
    values |= {"env": [{"name": "SOURCE", "value": "sorce"}]}
    await stage.namespace.install(release.name, stage.chart, values)
    try:
        run = await release.ended(await release.start("mistaken"))
        assert_failed_at_once(run, 3)
        assert "/etc/ocync/config.yaml:" in run.message, run.message
        shown = await stage.namespace.run("describe", "pods", "--selector=batch.kubernetes.io/job-name=mistaken")
        assert run.message.splitlines()[0] in shown, shown
        events = await stage.namespace.run("describe", "job", "mistaken")
        assert "exit code 3 matching FailJob rule" in events, events
    finally:
        await stage.namespace.uninstall(release.name)
    return one_line(run.message)


async def changed_meanwhile(stage: Stage) -> str:
    """A Docker config that changes during a run is read anew, and the next tick starts no second run meanwhile."""
    source, namespace = stage.outside.source, stage.namespace
    release = Release(name="meanwhile", namespace=namespace)
    for tag, seed in {"4.0": 40, "4.1": 41}.items():
        stage.seed("chainguard/python", tag, seed)
    await stage.put_docker_config(PULLER, stage.outside.password)
    values = stage.values("docker-config")
    page = stage.values("envfrom")
    config = values["config"]
    config["global"] = {"timeouts": {"idle": "10m"}}
    config["registries"]["ghcr"] = page["config"]["registries"]["ghcr"]
    config["defaults"] = page["config"]["defaults"]
    config["mappings"] = [{"from": "chainguard/python", "to": "myorg/python"}]
    values["envFrom"] = page["envFrom"]
    gate = asyncio.Event()
    held = source.on("GET", r"/blobs/", respond=until(gate))
    try:
        await namespace.install(release.name, stage.chart, values)
        job = await release.next_tick(set())

        async def waiting() -> bool:
            return held.met > 0

        await eventually("a blob to be asked for", waiting, within=60)
        pod = (await release.pods(job))[0]["metadata"]["name"]
        new = f"{stage.outside.password}-2"
        stage.outside.accept_also(new)
        await stage.put_docker_config(PULLER, new)
        wanted = (stage.folder / "config.json").read_text(encoding="utf-8")

        async def swapped() -> bool:
            return await namespace.file_in(pod, MOUNTED) == wanted

        seconds = await took(eventually("the kubelet to swap the Secret", swapped, within=SYNCED, every=2))

        async def passed_over() -> bool:
            shown = await namespace.run("get", "events", "--output=json")
            return any(event["reason"] == "JobAlreadyActive" for event in json.loads(shown)["items"])

        await eventually("a tick to be passed over", passed_over, within=90)
        ticks = [each for each in await release.jobs() if MANUAL not in each["metadata"].get("annotations", {})]
        assert [each["metadata"]["name"] for each in ticks] == [job], "a second run was started beside the first"
        await release.pause()
        stage.outside.accept_only(new)
        gate.set()
        run = await release.ended(job)
        assert_complete(run)
        stage.check_copied("chainguard/python", "myorg/python")
    finally:
        gate.set()
        held.end()
        await namespace.uninstall(release.name)
        await stage.put_secret(stage.outside.password)
    return f"the new Secret was in the pod after {seconds:.0f} s; message: {one_line(run.message)}"


def until(gate: asyncio.Event) -> Action:
    """Return an action that holds requests back until the gate opens."""

    async def action(_request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
        await gate.wait()
        return await proceed()

    return action


async def took(awaited: Awaitable[object]) -> float:
    """Await something and return the seconds that it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await awaited
    return loop.time() - began


ALL = (partly, mistaken, changed_meanwhile)
