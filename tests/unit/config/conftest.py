from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from ocync.config.load import load
from ocync.lib.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ocync.config.model import Config


class Load(Protocol):
    def __call__(
        self, text: str | bytes, environ: Mapping[str, str] | None = None, *, require_secrets: bool = True
    ) -> Config: ...


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write a config file and return its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "ocync.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def read(file: Callable[[str | bytes], Path]) -> Load:
    """Load a config from its text."""

    def read(
        text: str | bytes, environ: Mapping[str, str] | None = None, *, require_secrets: bool = True
    ) -> Config:
        return load(file(text), environ or {}, require_secrets=require_secrets)

    return read


@pytest.fixture
def problems(read: Load) -> Callable[..., list[str]]:
    """Load a config that is wrong and return its problems as `line:column: path: message`."""

    def problems(
        text: str | bytes, environ: Mapping[str, str] | None = None, *, require_secrets: bool = True
    ) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text, environ, require_secrets=require_secrets)
        assert caught.value.exit_code == 3
        return [problem.render("").removeprefix(":").lstrip() for problem in caught.value.problems]

    return problems


@pytest.fixture
def warnings(read: Load) -> Callable[..., list[str]]:
    """Load a config and return its warnings as `line:column: path: message`."""

    def warnings(text: str, environ: Mapping[str, str] | None = None, *, require_secrets: bool = True) -> list[str]:
        config = read(text, environ, require_secrets=require_secrets)
        return [warning.removeprefix(f"{config.path}").removeprefix(":").lstrip() for warning in config.warnings]

    return warnings


@pytest.fixture
def comparable() -> Callable[[Config], Any]:
    """All that a config says, secrets included, without what depends on the look of its file."""

    def comparable(value: Any) -> Any:
        match value:
            case _ if dataclasses.is_dataclass(value):
                names = {field.name for field in dataclasses.fields(value)} - {
                    "origin",
                    "path",
                    "line",
                    "warnings",
                    "unused",
                }
                return {name: comparable(getattr(value, name)) for name in names}
            case dict():
                return {key: comparable(inner) for key, inner in value.items()}
            case tuple():
                return [comparable(inner) for inner in value]
        return value

    return comparable
