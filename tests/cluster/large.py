"""A layer that is larger than the memory of a pod, to a fast target and a slow one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from cluster.jobs import Release
from cluster.kubernetes import CommandError
from cluster.stage import assert_complete
from scripted import ScriptedRegistry, build, faults

if TYPE_CHECKING:
    from cluster.kubernetes import Document
    from cluster.stage import Stage

MIB = 1024 * 1024
SIZE = 1024 * MIB
"""Twice the memory that the chart gives a pod, and within the default of staging_size_limit."""
RATE = 40 * MIB


async def large(stage: Stage) -> str:
    """A large layer goes to a fast and a slow target within the chart's limits: no pod is killed or evicted."""
    layer = await asyncio.to_thread(build.big_layer, SIZE, 2)
    told = []
    # What is staged on disk for the slow target would be held by the pod's memory, were it staged there.
    for name, tmp in (("disk", {}), ("memory", {"medium": "Memory"})):
        told.append(f"/tmp on {name}: {await carried(stage, f'large-{name}', layer, tmp)}")
    return "; ".join(told)


async def carried(stage: Stage, name: str, layer: build.Blob, tmp: Document) -> str:
    """Bring the layer to both targets by a run of a release with that `tmp`, and tell how it went."""
    release = Release(name=name, namespace=stage.namespace)
    async with AsyncExitStack() as stack:
        source, slow, fast = [
            await stack.enter_async_context(ScriptedRegistry(bind=stage.outside.address, discard_over=MIB))
            for _ in range(3)
        ]
        source.seed("team/large", "1", build.image([layer]))
        slow.on("PUT|POST|PATCH", r"/uploads/", respond=faults.drip_upload(RATE))
        values = stage.suspended("envfrom") | {"tmp": tmp}
        urls = {"src": source.url, "slow": slow.url, "fast": fast.url}
        values["config"] = {
            "registries": {registry: {"url": url} for registry, url in urls.items()},
            "mappings": [{"from": "team/large", "source": "src", "targets": ["slow", "fast"]}],
        }
        await stage.namespace.install(release.name, stage.chart, values)
        try:
            job = await release.start(name)
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(working_set(stage, release, job))
                run = await release.ended(job, within=300)
                watch.cancel()
            assert_complete(run)
        finally:
            await stage.namespace.uninstall(release.name)
        for target in (slow, fast):
            assert target.resolve("team/large", "1") == source.resolve("team/large", "1")
        read = sum(each.sent for each in source.requests.matching("GET", str(layer.digest)))
    return f"{run.seconds:.0f} s, {read / MIB:,.0f} MiB read"


async def working_set(stage: Stage, release: Release, job: str) -> None:
    """Look at what the kubelet says of a run's memory, as long as the run lasts; print the most that it was."""
    most = 0
    try:
        while True:
            await asyncio.sleep(3)
            with contextlib.suppress(CommandError):
                for pod in await release.pods(job):
                    address = f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/stats/summary"
                    pods = json.loads(await stage.namespace.run("get", "--raw", address))["pods"]
                    here = [each for each in pods if each["podRef"]["name"] == pod["metadata"]["name"]]
                    most = max([most, *(each.get("memory", {}).get("workingSetBytes", 0) for each in here)])
    finally:
        print(f"       | working set of {job}: {most / MIB:.0f} MiB at most")


ALL = (large,)
