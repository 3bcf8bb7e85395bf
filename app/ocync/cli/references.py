"""References on the command line, with the settings of the configuration if one is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocync.config.load import load
from ocync.config.model import GlobalSettings, RegistryConfig
from ocync.lib.errors import ConfigError
from ocync.oci.reference import Reference

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ocync.config.model import Config


def reference(text: str) -> Reference:
    """Parse a reference of the command line; raises ConfigError."""
    try:
        return Reference.parse(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def configuration(options: argparse.Namespace, environ: Mapping[str, str]) -> Config | None:
    """Load the configuration, if one is given."""
    return load(Path(options.config), environ) if options.config else None


def settings(config: Config | None) -> GlobalSettings:
    """Return the configuration's settings, or the defaults."""
    return config.settings if config else GlobalSettings(cache_dir=Path(".ocync-cache"))


def registry_of(name: Reference, config: Config | None) -> RegistryConfig:
    """
    Return the settings of a reference's registry: those of the configuration for the same host, or the defaults.

    The repository in the reference is complete, so a prefix in the configuration does not apply.
    """
    if name.registry is None:
        return RegistryConfig(name=f"oci:{name.folder}", layout=Path(name.folder))
    for registry in config.registries.values() if config else ():
        found = registry.registry
        if found is not None and (found.host, found.scheme) == (name.registry.host, name.registry.scheme):
            return registry
    return RegistryConfig(name=name.registry.api, registry=name.registry)
