"""Checks the image and the chart in a real cluster; `scripts/test-cluster` runs it and says what it needs."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import failing, identity, large, scenarios, upgrading, watching
from cluster.kubernetes import RESTRICTED, CommandError, LateError, Namespace, output
from cluster.outside import free_port, outside
from cluster.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

ROOT = Path(__file__).parents[2]
ALL = (*scenarios.ALL, *failing.ALL, *identity.ALL, *watching.ALL, *upgrading.ALL, *large.ALL)


def say(line: str) -> None:
    """Tell at once."""
    print(line, flush=True)


async def address_of_host(kubectl: str, given: str | None) -> str:
    """Return the address at which pods reach this machine: as given, or the node's if that is this machine."""
    if given:
        try:
            free_port(given)
        except OSError as error:
            raise SystemExit(f"HOST_ADDRESS={given} is not an address of this machine: {error.strerror}") from error
        return given
    nodes = json.loads(await output(kubectl, "get", "nodes", "--output=json"))["items"]
    addresses: list[str] = [entry["address"] for node in nodes for entry in node["status"]["addresses"]]
    for address in addresses:
        try:
            free_port(address)
        except OSError:
            continue
        return address
    raise SystemExit(f"none of the nodes' addresses ({', '.join(addresses)}) is this machine's: set HOST_ADDRESS")


async def load_image(environ: Mapping[str, str], folder: Path) -> str:
    """Build the image unless ARCHIVE is given, hand it to LOAD_IMAGE, and return its name."""
    name = environ.get("IMAGE") or "localhost/ocync:cluster"
    load = environ.get("LOAD_IMAGE")
    if load is None:
        if "IMAGE" not in environ:
            raise SystemExit(
                "set LOAD_IMAGE (a command that is given NAME ARCHIVE) or IMAGE (one the cluster can pull)"
            )
        return name
    archive = environ.get("ARCHIVE")
    if archive is None:
        archive = str(folder / "ocync.tar")
        settings = {"BASE": "local", "PYTHON": sys.executable, "IMAGE": name, "OUT": archive}
        assignments = [
            f"{key}={value}" for key, value in settings.items() if key != "BASE" or "BASE_IMAGE" not in environ
        ]
        await output("env", *assignments, str(ROOT / "scripts" / "image"))
    await output(*load.split(), name, archive)
    return name


async def check(stage: Stage, scenario: Callable[[Stage], Awaitable[str]]) -> bool:
    """Play one scenario and print a line about it; on failure also what the namespace shows."""
    began = time.monotonic()
    title = (scenario.__doc__ or scenario.__name__).strip().rstrip(".")
    try:
        told = await scenario(stage)
    except (AssertionError, CommandError, LateError) as error:
        say(f"FAIL {time.monotonic() - began:6.1f} s  {title}\n       {error}")
        await show(stage.namespace)
        return False
    say(f"PASS {time.monotonic() - began:6.1f} s  {title}: {told}")
    return True


async def show(namespace: Namespace) -> None:
    """Print what a person would look at first: objects, events, and the newest pod's log."""
    for command in (
        ("get", "cronjobs,jobs,pods", "--output=wide"),
        ("get", "events", "--sort-by=.lastTimestamp"),
        ("logs", "--selector=app.kubernetes.io/name=ocync", "--tail=30", "--prefix"),
    ):
        try:
            lines = (await namespace.run(*command)).splitlines()[-25:]
        except CommandError as error:
            lines = [str(error)]
        say("\n".join(f"       | {line}" for line in lines or ["nothing"]))


async def main(environ: Mapping[str, str]) -> int:
    """Play all scenarios; returns 0 if all passed."""
    kubectl, helm = environ.get("KUBECTL", "kubectl"), environ.get("HELM", "helm")
    missing = [program for program in (kubectl, helm, "prometheus-pushgateway") if shutil.which(program) is None]
    unknown = set(environ.get("ONLY", "").split()) - {scenario.__name__ for scenario in ALL}
    if unknown:
        raise SystemExit(f"ONLY names no scenario of the cluster's: {', '.join(sorted(unknown))}")
    if missing or "KUBECONFIG" not in environ:
        raise SystemExit(f"needed: KUBECONFIG, and on the PATH {', '.join(missing) or 'nothing more'}")
    chosen = [scenario for scenario in ALL if scenario.__name__ in environ.get("ONLY", scenario.__name__).split()]
    namespace = Namespace(name=f"ocync-test-{secrets.token_hex(3)}", kubectl=kubectl, helm=helm)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        address = await address_of_host(kubectl, environ.get("HOST_ADDRESS"))
        image = await load_image(environ, folder)
        say(f"     {time.monotonic() - began:6.1f} s  {image} is loaded; the registries listen at {address}")
        async with outside(address, folder) as servers:
            stage = Stage(namespace=namespace, outside=servers, chart=ROOT / "chart", image=image, folder=folder)
            await namespace.create(RESTRICTED)
            try:
                await stage.put_secret(servers.password)
                passed = [await check(stage, scenario) for scenario in chosen]
            finally:
                if not environ.get("KEEP"):
                    await namespace.delete()
    say(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed in {time.monotonic() - began:.0f} s")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(os.environ)))
    except (CommandError, LateError) as error:
        sys.exit(f"test-cluster: {error}")
