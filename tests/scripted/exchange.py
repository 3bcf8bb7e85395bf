"""What the parts of a registry share about one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scripted.evidence import Evidence
from scripted.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from scripted.access import Grant
    from scripted.behaviour import Behaviour
    from scripted.storage import Repository
    from scripted.wire import Request


@dataclass(slots=True)
class State:
    """Everything a registry holds and is told."""

    behaviour: Behaviour
    folder: Path | None = None
    repositories: dict[str, Repository] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    """Moments when a tag was made to point at something incomplete."""
    evidence: Evidence = field(default_factory=lambda: Evidence(Record()))
    """What has been shown to ocync in its pass."""
    other: str = ""
    """`scheme://host:port` of the second origin, where Location `other-host` leads."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One authorized request to one repository."""

    request: Request
    grant: Grant
    name: str
    rest: str
    """What stands behind `manifests/`, `blobs/` and so on."""
    state: State

    @property
    def behaviour(self) -> Behaviour:
        return self.state.behaviour

    @property
    def repository(self) -> Repository | None:
        """The repository, if there is one."""
        return self.state.repositories.get(self.name)
