from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e import corpus, readme
from e2e.accounts import PULLER, PUSHER, VARIABLES
from e2e.program import Program
from scripted import Basic, Bearer, ScriptedRegistry
from scripted.background import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program in an empty folder, with nothing in its environment that tells of registries."""
    return Program.within(tmp_path)


@pytest.fixture
def source() -> Iterator[ScriptedRegistry]:
    """A registry as cgr.dev is: tokens for one repository each, and two tags for those without credentials."""
    with in_thread(ScriptedRegistry(auth=Bearer(users=(PULLER,)))) as registry:
        corpus.seed(registry)
        yield registry


@pytest.fixture
def target() -> Iterator[ScriptedRegistry]:
    """An empty registry that asks for Basic."""
    with in_thread(ScriptedRegistry(auth=Basic(users=(PUSHER,)))) as registry:
        yield registry


@pytest.fixture
def ready(program: Program, source: ScriptedRegistry, target: ScriptedRegistry) -> Program:
    """The program with the README's ocync.yaml for these two registries, and the variables that it names."""
    program.write(readme.configuration(source.url, target.url))
    return program.knowing(**VARIABLES)
