"""The Deployment of `mode: watch`: its probes, its end, and what it takes up without a restart."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from cluster.failing import SYNCED, took, until
from cluster.jobs import terminated
from cluster.kubernetes import eventually
from cluster.outside import PULLER

if TYPE_CHECKING:
    from cluster.kubernetes import Document, Namespace
    from cluster.stage import Stage

NAME = "watcher"
FILES = "puller"
FOLDER = "/run/secrets/registry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """The pods of a Deployment of ours."""

    namespace: Namespace

    async def pods(self) -> list[Document]:
        """Return those that there are, the oldest first."""
        return await self.namespace.items("pods", f"app.kubernetes.io/instance={NAME}")

    async def pod(self, besides: str = "") -> Document:
        """Wait for a running pod, `besides` one by that name, and return it."""

        async def look() -> Document | None:
            found = [each for each in await self.pods() if each["metadata"]["name"] != besides]
            return next((each for each in found if state(each, "running")), None)

        pod = await eventually("a pod to run", look, within=60)
        assert pod is not None
        return pod

    async def becomes_ready(self, pod: str) -> None:
        """Wait until a pod is ready."""

        async def look() -> bool:
            return any(is_ready(each) for each in await self.pods() if each["metadata"]["name"] == pod)

        await eventually(f"{pod} to be ready", look, within=60)

    async def ends(self, pod: str, within: float = 30) -> int | None:
        """Wait until a pod has ended or is gone; return its exit code if that could be seen."""
        code: int | None = None

        async def look() -> bool:
            nonlocal code
            found = [each for each in await self.pods() if each["metadata"]["name"] == pod]
            end = terminated(found[0]) if found else None
            code = end["exitCode"] if end else code
            return not found or end is not None

        await eventually(f"{pod} to end", look, within=within, every=0.1)
        return code


def state(pod: Document, name: str) -> Any:
    """Return a state of the pod's container, or None where it is not in it."""
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    return statuses[0]["state"].get(name)


def is_ready(pod: Document) -> bool:
    """Tell whether a pod is ready."""
    return any(
        each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions") or []
    )


def values_of(stage: Stage) -> Document:
    """Return the page's values for a Deployment that reads the password from a file."""
    values = stage.values("envfrom")
    values["config"]["registries"]["src"]["credentials"] = {
        "username": PULLER,
        "password_file": f"{FOLDER}/password",
    }
    del values["cronjob"]
    return values | {
        "mode": "watch",
        "watch": {"interval": 2},
        "extraVolumes": [{"name": "registry", "secret": {"secretName": FILES}}],
        "extraVolumeMounts": [{"name": "registry", "mountPath": FOLDER, "readOnly": True}],
    }


async def watched(stage: Stage) -> str:
    """A Deployment is alive during its first pass, and ready after it."""
    watcher, source = Watcher(namespace=stage.namespace), stage.outside.source
    await stage.namespace.put_secret(FILES, f"--from-literal=password={stage.outside.password}")
    stage.seed("chainguard/static", "5.0", 50)
    gate = asyncio.Event()
    held = source.on("GET", r"/blobs/", respond=until(gate), authorized=True)
    try:
        await stage.namespace.install(NAME, stage.chart, values_of(stage))
        pod = (await watcher.pod())["metadata"]["name"]

        async def refused() -> bool:
            events = json.loads(await stage.namespace.run("get", "events", "--output=json"))["items"]
            return any(
                "Readiness probe failed: HTTP probe failed with statuscode: 503" in event["message"]
                for event in events
            )

        await eventually("a probe to find the pod not ready", refused, within=60)
        # By default a liveness probe comes every ten seconds.
        await asyncio.sleep(12)
        (found,) = await watcher.pods()
        assert (found["metadata"]["name"], is_ready(found)) == (pod, False)
        gate.set()
        seconds = await took(watcher.becomes_ready(pod))
    finally:
        gate.set()
        held.end()
    assert restarts(await watcher.pod()) == 0
    stage.check_copied("chainguard/static", "myorg/static")
    return f"ready {seconds:.1f} s after the first pass could end"


async def reconfigured(stage: Stage) -> str:
    """A changed ConfigMap and a changed Secret in a file are taken up without a restart."""
    watcher, namespace = Watcher(namespace=stage.namespace), stage.namespace
    pod = await watcher.pod()
    name = pod["metadata"]["name"]
    config = yaml.safe_load(await namespace.file_in(name, "/etc/ocync/config.yaml"))
    config["mappings"].append({"from": "chainguard/python", "to": "myorg/python"})
    stage.seed("chainguard/python", "5.1", 51)
    patch = json.dumps({"data": {"config.yaml": yaml.safe_dump(config)}})
    new = f"{stage.outside.password}-3"
    stage.outside.accept_also(new)
    await namespace.run("patch", "configmap", f"{NAME}-ocync", "--patch", patch)
    await namespace.put_secret(FILES, f"--from-literal=password={new}")

    async def copied() -> bool:
        return stage.outside.target.resolve("myorg/python", "5.1") is not None

    seconds = await took(eventually("the new mapping to be copied", copied, within=SYNCED, every=1))

    async def swapped() -> bool:
        return await namespace.file_in(name, f"{FOLDER}/password") == new

    await eventually("the new password to be in the pod", swapped, within=SYNCED, every=2)
    stage.outside.accept_only(new)
    stage.seed("chainguard/python", "5.2", 52)

    async def copied_too() -> bool:
        return stage.outside.target.resolve("myorg/python", "5.2") is not None

    await eventually("the next image to be copied", copied_too, within=30)
    (found,) = await watcher.pods()
    assert (found["metadata"]["name"], restarts(found)) == (name, 0)
    await stage.put_secret(stage.outside.password)
    return f"the mapping was copied {seconds:.0f} s after the change"


async def replaced(stage: Stage) -> str:
    """An upgrade ends the old pod, promptly and in order, before the new one begins; a rollback as well."""
    watcher, namespace = Watcher(namespace=stage.namespace), stage.namespace
    told = []
    values = values_of(stage)
    stage.seed("chainguard/python", "5.3", 53)
    # Anew: of what kubectl has changed, Helm 4 says only that there is a conflict (--force-conflicts).
    await namespace.uninstall(NAME)
    await namespace.install(NAME, stage.chart, values)
    await watcher.becomes_ready((await watcher.pod())["metadata"]["name"])
    values["config"]["mappings"].append({"from": "chainguard/python", "to": "myorg/python"})
    for step in ("upgrade", "rollback"):
        old = (await watcher.pod())["metadata"]["name"]
        if step == "upgrade":
            await namespace.install(NAME, stage.chart, values)
        else:
            await namespace.rollback(NAME, 1)
        ending = asyncio.create_task(watcher.ends(old))
        seconds = await took(ending)
        code = ending.result()
        # None: it was gone before it could be seen; 5: a pass was under way.
        assert code in {0, 5, None}, f"{old} ended with exit code {code}"
        assert seconds < 10, f"{old} took {seconds:.0f} s to end"
        new = await watcher.pod(besides=old)
        await watcher.becomes_ready(new["metadata"]["name"])
        told.append(f"{step}: {code} in {seconds:.1f} s")
    return ", ".join(told)


async def crashing(stage: Stage) -> str:
    """A Deployment whose configuration is wrong ends with 3, and says why where people look."""
    watcher, namespace = Watcher(namespace=stage.namespace), stage.namespace
    values = values_of(stage)
    values["config"]["mappings"][0]["to"] = "${TEAM:?name the team}/static"
    old = (await watcher.pod())["metadata"]["name"]
    await namespace.install(NAME, stage.chart, values)

    async def ended() -> Document | None:
        for pod in await watcher.pods():
            if pod["metadata"]["name"] == old:
                continue
            last = (pod["status"].get("containerStatuses") or [{}])[0].get("lastState", {}).get("terminated")
            if last or terminated(pod):
                return last or terminated(pod)
        return None

    end = await eventually("the container to end", ended, within=60)
    assert end is not None
    assert end["exitCode"] == 3, end
    assert "name the team" in end["message"], end
    await namespace.uninstall(NAME)
    with_pods = await watcher.pods()
    assert not with_pods or all(each["metadata"].get("deletionTimestamp") for each in with_pods)
    return " ".join(end["message"].split())


def restarts(pod: Document) -> int:
    """Return how often the pod's container was started anew."""
    return int(pod["status"]["containerStatuses"][0]["restartCount"])


ALL = (watched, reconfigured, replaced, crashing)
