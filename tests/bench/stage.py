"""The registries of a run, with nginx before them: one source, two targets."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import front, measure
from bench.answers import Registry
from bench.backend import serving
from bench.traffic import Meter, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.backend import Backend
    from bench.front import Front

SOURCE = "source"
TARGETS = ("east", "west")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs beside the tool that is measured."""

    folder: Path
    registries: Mapping[str, Registry]
    front: Front
    backend: Backend
    meter: Meter

    @property
    def source(self) -> Registry:
        """Where images come from."""
        return self.registries[SOURCE]

    @property
    def servers(self) -> list[int]:
        """The processes that serve, this one too."""
        return [*measure.workers_of(self.front.pid), _this_process()]

    def empty_targets(self) -> None:
        """Make all targets empty."""
        for name in TARGETS:
            self.registries[name].empty()

    def traffic(self) -> dict[str, Traffic]:
        """Return what each registry was asked since the last time."""
        lines = self.meter.read()
        return {
            name: Traffic.of([line for line in lines if line.port == port])
            for name, port in self.front.ports.items()
        }


def _this_process() -> int:
    return int(Path("/proc/self").readlink().name)


@contextmanager
def staged(folder: Path, *, referrers: bool) -> Iterator[Stage]:
    """Run everything, with its files in a folder; `referrers`: the targets have that API."""
    registries = {SOURCE: Registry(folder / SOURCE)}
    registries |= {name: Registry(folder / name, referrers=referrers) for name in TARGETS}
    for registry in registries.values():
        registry.empty()
    # A socket's path has room for some hundred characters only, and the folder may have more.
    with tempfile.TemporaryDirectory(prefix="bench-") as short:
        sockets = {name: Path(short) / name for name in registries}
        served = {sockets[name]: registry for name, registry in registries.items()}
        with serving(served) as backend, front.listening(folder, registries, sockets) as nginx:
            meter = Meter(nginx.log, lambda: backend.pending)
            yield Stage(folder=folder, registries=registries, front=nginx, backend=backend, meter=meter)
