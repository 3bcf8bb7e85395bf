"""A mirror to a registry and to a folder, for things to happen to the program that fills it."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.watch import FolderWatch
from e2e import corpus
from e2e.accounts import PULLER, PUSHER

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from e2e.program import Program
    from scripted import ScriptedRegistry

SYNC = ("sync", "-c", "mirror.yaml")
REQUESTS = 110
"""About as many as a pass makes at the two registries."""


@dataclass(frozen=True)
class Mirror:
    """The source's corpus at two targets."""

    program: Program
    source: ScriptedRegistry
    target: ScriptedRegistry

    @classmethod
    def of(cls, program: Program, source: ScriptedRegistry, target: ScriptedRegistry) -> Mirror:
        """Write the configuration of a mirror from one registry to another and to a folder."""
        mappings = "".join(f"  - {{from: {name}, to: {corpus.TO[name]}}}\n" for name in corpus.TAGS)
        program.write(
            f"""
registries:
  src: {{url: "{source.url}", auth_type: basic, credentials: {{username: "{PULLER.name}", password: ${{PULLER}}}}}}
  own: {{url: "{target.url}", auth_type: basic, credentials: {{username: "{PUSHER.name}", password: ${{PUSHER}}}}}}
  disk: {{url: "oci:layouts"}}
target_groups: {{all: [own, disk]}}
defaults: {{source: src, targets: all}}
mappings:
{mappings}""",
            "mirror.yaml",
        )
        told = program.knowing(PULLER=PULLER.password, PUSHER=PUSHER.password)
        return cls(program=told, source=source, target=target)

    @property
    def folder(self) -> FolderWatch:
        """The folder as another program sees it."""

        def known(name: str, _tag: str, digest: str) -> dict[str, bytes | int] | None:
            origin = next(source for source, to in corpus.TO.items() if to == name)
            return self.source.content_of(origin, digest) or None

        return FolderWatch(self.program.folder / "layouts", known)

    def assert_sound(self) -> None:
        """Check that whatever has a name at a target is whole."""
        assert self.target.incomplete_tags() == []
        assert self.target.violations == []
        folder = self.folder
        folder.look()
        assert folder.wrong == []

    def assert_equal(self) -> None:
        """Check that both targets hold everything, and the folder nothing in the making."""
        self.assert_complete()
        own = (self.program.folder / "layouts").glob("**/.ocync/*")
        assert [path for path in own if path.name != "lock"] == []

    def assert_complete(self) -> None:
        """Check that both targets hold everything."""
        self.assert_sound()
        corpus.assert_mirrored(self.source, self.target)
        wanted = {
            (corpus.TO[name], tag, self.source.resolve(name, tag))
            for name, tags in corpus.TAGS.items()
            for tag in tags
        }
        assert set(self.folder.tags()) == wanted

    def when_asked(self, count: int, act: Callable[[], object]) -> None:
        """Act when so many requests have come to the two registries, before the next one is handled."""
        left = [count]

        async def action(_request: object, proceed: Callable[[], object]) -> object:
            left[0] -= 1
            if left[0] == 0:
                act()
            return await proceed()  # type: ignore[misc]

        for registry in (self.source, self.target):
            registry.on("*", "", respond=action)  # type: ignore[arg-type]

    def killed(self, number: signal.Signals, *, at: int) -> int:
        """Run a pass that gets a signal when so many requests were made; return its exit code."""
        pid: list[int] = []
        started = threading.Event()

        def send() -> None:
            assert started.wait(10)
            os.kill(pid[0], number)

        self.when_asked(at, send)
        with self.program.started(*SYNC, "--grace-period", "0") as run:
            pid.append(run.pid)
            started.set()
            done = run.done()
        for registry in (self.source, self.target):
            registry.rules.clear()
        assert "Traceback" not in done.said
        return done.code
