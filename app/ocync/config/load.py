"""From a file and an environment to a Config. The only module that opens the config file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ocync.config.mappings import mappings
from ocync.config.metrics import metrics
from ocync.config.model import Config
from ocync.config.names import Names, groups
from ocync.config.registries import registries
from ocync.config.schema import validate
from ocync.config.section import Section
from ocync.config.settings import settings
from ocync.config.shape import shape
from ocync.config.state import check_state
from ocync.config.typed import resolve
from ocync.config.yaml.document import MAX_BYTES, parse
from ocync.config.yaml.findings import Findings
from ocync.lib.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as File


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that was read: what it says, and what is wrong with it so far."""

    root: Section
    findings: Findings


def load(path: File, environ: Mapping[str, str], *, require_secrets: bool = True) -> Config:
    """
    Read a config file; raises ConfigError with all that is wrong with it.

    With `require_secrets=False`, it is only a warning that `${V}` is not set, and stand-ins take the place of such
    values: such a Config is good for validation alone.
    """
    loaded = read(path, environ, lenient=not require_secrets, stand_ins=not require_secrets)
    root, findings = loaded.root, loaded.findings
    known = registries(root, findings)
    names = Names(known, groups(root, known, findings), findings)
    config = Config(
        path=path,
        settings=settings(root, path, known, findings),
        mappings=mappings(root, names, findings),
        registries={name: registry for name, registry in known.items() if registry is not None},
        metrics=metrics(root, environ, findings),
    )
    check_state(root.section("global").section("state"), config.settings.state, config.mappings, findings)
    findings.raise_problems()
    return replace(config, warnings=findings.warnings())


def read(path: File, environ: Mapping[str, str], *, lenient: bool = False, stand_ins: bool = False) -> Loaded:
    """
    Read a config file, fill in its variables and hold it against the schema.

    Raises ConfigError when it can't be read or is not YAML; all else that is wrong is in the findings.
    """
    table = parse(_bytes(path), str(path))
    findings = Findings(str(path), lenient=lenient)
    resolved = resolve(table, shape(), environ, findings, stand_ins=stand_ins)
    validate(resolved, findings)
    return Loaded(Section(resolved, ()), findings)


def _bytes(path: File) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError.of(str(path), (Problem(message=f"can't be read: {why}"),)) from error
