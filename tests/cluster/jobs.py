"""Jobs and their pods: what the CronJob started, how it ended, and what the container left to be read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.kubernetes import eventually

if TYPE_CHECKING:
    from cluster.kubernetes import Document, Namespace

MANUAL = "cronjob.kubernetes.io/instantiate"
TICK = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a Job ended: its last condition, and the terminated containers of its pods, the oldest pod first."""

    name: str
    condition: str
    """`Complete` or `Failed`"""
    reason: str
    containers: tuple[Document, ...]
    seconds: float
    """From its creation to its end, as this side saw it."""

    @property
    def exit_codes(self) -> list[int]:
        """The exit codes of the pods."""
        return [container["exitCode"] for container in self.containers]

    @property
    def message(self) -> str:
        """The termination message of the last pod."""
        return str(self.containers[-1].get("message", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release of the chart in cronjob mode."""

    name: str
    namespace: Namespace

    @property
    def cronjob(self) -> str:
        """The name of its CronJob, as the chart makes it."""
        return self.name if "ocync" in self.name else f"{self.name}-ocync"

    @property
    def selector(self) -> str:
        """The selector of all that is the release's."""
        return f"app.kubernetes.io/instance={self.name}"

    async def suspend(self, *, on: bool) -> None:
        """Suspend or resume the CronJob. On suspending, wait until no run of it is left."""
        await self.pause(on=on)
        if on:
            await eventually("the running Job to end", self._idle, within=120)

    async def pause(self, *, on: bool = True) -> None:
        """Start no more runs, or begin with it again; what runs goes on."""
        patch = f'{{"spec": {{"suspend": {str(on).lower()}}}}}'
        await self.namespace.run("patch", "cronjob", self.cronjob, "--patch", patch)

    async def _idle(self) -> bool:
        return all(condition_of(job) for job in await self.jobs())

    async def jobs(self) -> list[Document]:
        """Return its Jobs, the oldest first."""
        return await self.namespace.items("jobs", self.selector)

    async def next_tick(self, known: set[str], within: float = TICK + 20) -> str:
        """Wait for a Job that the controller made and that is not `known` by name; return its name."""

        async def look() -> str | None:
            jobs = [job["metadata"] for job in await self.jobs()]
            ticks = [job["name"] for job in jobs if MANUAL not in job.get("annotations", {})]
            return next((name for name in ticks if name not in known), None)

        name = await eventually("a Job from the CronJob's schedule", look, within=within)
        assert name is not None
        return name

    async def names(self) -> set[str]:
        """Return the names of the Jobs that there are."""
        return {job["metadata"]["name"] for job in await self.jobs()}

    async def start(self, name: str) -> str:
        """Start a run now, as the chart's notes tell people to."""
        await self.namespace.run("create", "job", name, f"--from=cronjob/{self.cronjob}")
        return name

    async def ended(self, job: str, within: float = 60) -> Ended:
        """Wait for the end of a Job, and tell how it was."""
        began = time.monotonic()

        async def look() -> Document | None:
            found = [item for item in await self.jobs() if item["metadata"]["name"] == job]
            return found[0] if found and condition_of(found[0]) else None

        document = await eventually(f"the end of Job {job}", look, within=within)
        condition = condition_of(document)
        assert condition is not None
        return Ended(
            name=job,
            condition=condition["type"],
            reason=condition.get("reason", ""),
            containers=tuple(filter(None, map(terminated, await self.pods(job)))),
            seconds=time.monotonic() - began,
        )

    async def pods(self, job: str) -> list[Document]:
        """Return the pods of a Job, the oldest first."""
        return await self.namespace.items("pods", f"batch.kubernetes.io/job-name={job}")


def condition_of(job: Document | None) -> Document | None:
    """Return the condition that ended a Job, or None while it runs."""
    conditions: list[dict[str, Any]] = ((job or {}).get("status") or {}).get("conditions") or []
    ends = [c for c in conditions if c["type"] in {"Complete", "Failed"} and c["status"] == "True"]
    return ends[0] if ends else None


def terminated(pod: Document) -> Document | None:
    """Return how the container of a pod ended, or None."""
    states = [status["state"] for status in pod["status"].get("containerStatuses") or []]
    found: Document | None = states[0].get("terminated") if states else None
    return found
