"""
The effective config as YAML: variables filled in, defaults merged into each mapping, secrets as `***`.

The output is a config file again, except that secrets are hidden unless they are asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from ocync.config.load import read
from ocync.config.metrics import VARIABLE
from ocync.config.schema import shape
from ocync.config.section import Layers
from ocync.config.yaml.node import Items, Table, Value
from ocync.config.yaml.substitute import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path as File

    from ocync.config.schema import Shape
    from ocync.config.yaml.node import Node

HIDDEN = "***"
_NESTED = ("tags", "artifacts", "verify")
"""Keys whose maps are merged key by key; all others are taken whole."""

# Greedy up to the last @: a password in a URL may hold an @ or a / that should have been escaped.
_USERINFO_OF_URL = re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*://)?).*@", re.DOTALL)
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)\S*@")


def expand(path: File, environ: Mapping[str, str], *, show_secrets: bool) -> str:
    """
    Return the effective config of a file as YAML.

    Credentials are hidden, and so are the values of variables that any credential of the file uses, and user names
    and passwords in URLs. A credential whose variable is not set is empty. Raises ConfigError if the file does not
    match the schema; names and rules are not checked.
    """
    root = read(path, environ, lenient=True)
    root.findings.raise_problems()
    variables = frozenset() if show_secrets else frozenset(_secret_variables(root.table, shape()))
    written = _Written(show_secrets=show_secrets, variables=variables)
    document: dict[str, Any] = {}
    for key, node in root.table.entries.items():
        here = shape().fields[key]
        if key == "defaults":
            document[key] = _soft_excludes(written.node(node, here, key))
        elif key == "mappings":
            defaults = root.section("defaults")
            document[key] = [
                written.node(_effective(Layers(each, defaults)), here.items, key) for each in root.sections(key)
            ]
        else:
            document[key] = written.node(node, here, key)
    _add_environment(document, environ, written)
    shown = {key: value for key, value in document.items() if key == "registries" or value not in (None, {})}
    return yaml.dump(shown, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096)


class _Dumper(yaml.CSafeDumper):
    """Repeats equal lists instead of writing aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Written:
    """The printed form of a tree."""

    def __init__(self, *, show_secrets: bool, variables: frozenset[str]) -> None:
        self._show_secrets = show_secrets
        self._variables = variables

    def node(self, node: Node[Value], here: Shape | None, key: str) -> Any:
        match node:
            case Table():
                return {
                    name: self.node(value, here.child(name) if here else None, name)
                    for name, value in node.entries.items()
                }
            case Items():
                return [self.node(item, here.items if here else None, key) for item in node.items]
            case _:
                return self.content(node, here, key)

    def content(self, value: Value, here: Shape | None, key: str) -> str | int | bool | None:
        if self._show_secrets:
            return escape(value.content) if isinstance(value.content, str) else value.content
        if here is not None and here.secret and value.content is not None:
            return HIDDEN
        if value.source is not None and not self._variables.isdisjoint(value.source.variables):
            parts = (HIDDEN if part.variable in self._variables else part.text for part in value.source.parts)
            return self.url("".join(parts), key)
        return self.url(value.content, key) if isinstance(value.content, str) else value.content

    def url(self, text: str, key: str) -> str:
        """Return a text with the user names and passwords of its URLs hidden."""
        if not self._show_secrets:
            pattern = _USERINFO_OF_URL if key == "url" else _USERINFO
            text = pattern.sub(lambda found: f"{found[1]}{HIDDEN}@", text)
        return escape(text)


def _secret_variables(node: Node[Value], here: Shape | None) -> Iterator[str]:
    """Yield the variables that credentials use."""
    match node:
        case Table():
            for name, value in node.entries.items():
                yield from _secret_variables(value, here.child(name) if here else None)
        case Items():
            for item in node.items:
                yield from _secret_variables(item, here.items if here else None)
        case Value(source=source) if here is not None and here.secret and source is not None:
            yield from source.variables


def _soft_excludes(defaults: Any) -> Any:
    """Return the only defaults that are not merged into mappings: excludes that stay weaker than their own."""
    excludes = _inner(_inner(defaults, "tags"), "exclude")
    return {"tags": {"exclude": excludes}} if excludes else None


def _effective(layers: Layers) -> Table[Value]:
    """Return a mapping with the defaults merged in; `defaults.tags.exclude` stays with the defaults."""
    mapping, defaults = layers
    entries: dict[str, Node[Value]] = {
        key: node for key, node in mapping.table.entries.items() if mapping.has(key) and key not in _NESTED
    }
    if "to" not in entries and "from" in entries:
        entries["to"] = entries["from"]
    for key in defaults.table.entries:
        if defaults.has(key) and key not in _NESTED:
            entries.setdefault(key, defaults.table.entries[key])
    for key in _NESTED:
        merged = _merged(layers.section(key), key)
        if merged.entries:
            entries[key] = merged
    return Table(mapping.table.position, entries, mapping.table.keys)


def _merged(layers: Layers, name: str) -> Table[Value]:
    keys = dict.fromkeys((*layers.default.table.entries, *layers.own.table.entries))
    entries = {key: layers.of(key).table.entries[key] for key in keys if layers.of(key).has(key)}
    if name == "tags" and not layers.own.has("exclude"):
        entries.pop("exclude", None)
    if layers.waives_artifacts:
        entries.pop("require_artifacts", None)
    return Table(layers.own.table.position, entries)


def _inner(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, dict) else None


def _add_environment(document: dict[str, Any], environ: Mapping[str, str], written: _Written) -> None:
    """Add the Pushgateway's URL from the environment."""
    url = environ.get(VARIABLE)
    if url:
        metrics = document.get("metrics")
        pushgateway = _inner(metrics, "pushgateway") or {}
        document["metrics"] = {**(metrics or {}), "pushgateway": {**pushgateway, "url": written.url(url, "url")}}
