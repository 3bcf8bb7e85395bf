"""Loads a Config from a file and an environment. The only module that opens the config file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ocync.config.mappings import mappings
from ocync.config.metrics import metrics
from ocync.config.model import Config
from ocync.config.names import Names, groups
from ocync.config.registries import registries
from ocync.config.resolve import resolve
from ocync.config.schema import shape, validate
from ocync.config.section import Section
from ocync.config.settings import check_state, settings
from ocync.config.yaml.document import MAX_BYTES, parse
from ocync.config.yaml.findings import Findings
from ocync.lib.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as File


def load(path: File, environ: Mapping[str, str], *, require_secrets: bool = True) -> Config:
    """
    Return the configuration in a file; raises ConfigError with everything that is wrong with it.

    With `require_secrets=False`, a `${V}` that is not set is only a warning, and a stand-in replaces it: the Config
    is then good for validation alone.
    """
    root = read(path, environ, lenient=not require_secrets, stand_ins=not require_secrets)
    known = registries(root)
    names = Names(known, groups(root, known), root.findings)
    config = Config(
        path=path,
        settings=settings(root, path, known),
        mappings=mappings(root, names),
        registries={name: registry for name, registry in known.items() if registry is not None},
        metrics=metrics(root, environ),
    )
    check_state(root, config.settings.state, config.mappings)
    root.findings.raise_problems()
    return replace(config, warnings=root.findings.warnings())


def read(path: File, environ: Mapping[str, str], *, lenient: bool = False, stand_ins: bool = False) -> Section:
    """
    Return the whole file as a section, its variables filled in and its keys and types checked.

    Raises ConfigError if the file can't be read or is not YAML; everything else that is wrong is in the findings.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError.of(str(path), (Problem(message=f"can't be read: {reason}"),)) from error
    findings = Findings(str(path), lenient=lenient)
    table = resolve(parse(data, str(path)), shape(), environ, findings, stand_ins=stand_ins)
    validate(table, findings)
    return Section(table, (), findings)
