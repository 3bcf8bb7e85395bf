"""
Parses the bytes of a config file: YAML without what is dangerous or ambiguous.

libyaml emits the events; everything else is decided here. Scalars stay text as written, so that nothing is a
boolean, a date or an octal number by accident. Keys are unique. Anchors, aliases and `<<` work within bounds. Tags
other than YAML's own simple ones are refused: the tree contains nothing but texts, lists and maps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import yaml

from ocync.config.yaml.node import NOWHERE, Items, Node, Position, Scalar, Table
from ocync.config.yaml.syntax import MAX_DEPTH, NOT_UTF8, QUOTE_STAR, explain, position_of
from ocync.lib.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BYTES = 8 << 20
MAX_WEIGHT = 400_000
"""Values that a file may have with its aliases expanded; a long text counts as several."""
_WEIGHT_OF_TEXT = 256

Raw: TypeAlias = Node[Scalar]

# The printable characters of YAML 1.2 (rule 1) that libyaml accepts.
_PRINTABLE = "\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"
# The others within ASCII, for most files: this compiles in a hundredth of the time.
_UNPRINTABLE_ASCII = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_VARIABLE = re.compile(r"""\$\{[^}"'\\\r\n]*\}""")
_VEIL = 0xF0000
_VEILS = {code: code + _VEIL for code in range(0x80)}
_UNVEILS = {code + _VEIL: code for code in range(0x80)}
_VEILED = re.compile(f"[{chr(_VEIL)}-{chr(_VEIL + 0x7F)}]")
_TYPES = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({f"{_TYPES}str", "!"})
_PLAIN_TAGS = frozenset({f"{_TYPES}{name}" for name in ("int", "bool", "null", "float")})


def parse(data: bytes, file: str) -> Table[Scalar]:
    """Return the tree of a file's bytes; raises ConfigError with all its problems. `file` is for messages only."""
    if len(data) > MAX_BYTES:
        raise ConfigError.of(file, (Problem(message=f"is larger than {MAX_BYTES >> 20} MiB"),))
    text = _decode(data, file)
    # A file that contains the characters that would veil its variables has to do without the veil.
    veils = _VEILED.search(text) is None
    builder = _Builder(_unveil if veils else str)
    try:
        for event in yaml.parse(_veil(text) if veils else text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.YAMLError as error:
        raise ConfigError.of(file, (*builder.problems, explain(error, text))) from error
    except _Refused as refused:
        raise ConfigError.of(file, (*builder.problems, refused.problem)) from refused
    if builder.problems:
        raise ConfigError.of(file, tuple(builder.problems))
    match builder.root:
        case Table() as table:
            return table
        case None:
            problem = Problem(message="is empty: it needs at least registries and mappings", line=1, column=1)
        case Scalar(text="") as node:
            problem = _at(node.position, "is empty: it needs at least registries and mappings")
        case node:
            kind = "a list" if isinstance(node, Items) else "text"
            problem = _at(
                node.position, f"has {kind} at its top, where keys such as registries and mappings belong"
            )
    raise ConfigError.of(file, (problem,))


def _decode(data: bytes, file: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        position = position_of(before, len(before))
        message = f"the byte 0x{data[error.start]:02x} {NOT_UTF8}: save the file as UTF-8"
        raise ConfigError.of(file, (_at(position, message),)) from error
    found = (_UNPRINTABLE_ASCII if text.isascii() else _unprintable()).search(text)
    if found:
        message = f"the invisible character U+{ord(found[0]):04X} is not allowed in YAML"
        raise ConfigError.of(file, (_at(position_of(text, found.start()), message),))
    return text


@cache
def _unprintable() -> re.Pattern[str]:
    return re.compile(f"[^{_PRINTABLE}]")


def _veil(text: str) -> str:
    """
    Return the text with the characters of each `${VARIABLE}` replaced by ones that mean nothing to YAML.

    So `{ url: ${HOST} }` and `${V:?set it: now}` are values, and all positions stay correct.
    """
    return _VARIABLE.sub(lambda found: found[0].translate(_VEILS), text)


def _unveil(text: str) -> str:
    return text.translate(_UNVEILS) if _VEILED.search(text) else text


class _Refused(Exception):  # noqa: N818 -- never leaves this module
    def __init__(self, position: Position, message: str) -> None:
        self.problem = _at(position, message)


@dataclass(slots=True)
class _Open:
    """An incomplete table or list."""

    node: Table[Scalar] | Items[Scalar]
    anchor: str | None
    weight: int = 1
    depth: int = 1
    key: str | None = None
    key_position: Position = NOWHERE
    merge: Position | None = None
    """The position of its `<<`."""
    merges: list[Table[Scalar]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Anchored:
    node: Raw | None
    """None while it is incomplete."""
    weight: int = 0
    depth: int = 0


class _Builder:
    """Builds the tree event by event; collects the problems that leave the rest readable."""

    def __init__(self, unveil: Callable[[str], str]) -> None:
        self._unveil = unveil
        self.root: Raw | None = None
        self.problems: list[Problem] = []
        self._documents = 0
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._weight = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._start(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _Refused(_position(event), "a second document begins here: a config file has one")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        position = _position(event)
        tag = event.tag
        plain = not event.style
        if tag is not None:
            if tag not in _TEXT_TAGS and tag not in _PLAIN_TAGS:
                self._refuse_tag(position)
            plain = tag in _PLAIN_TAGS
        text = self._unveil(event.value)
        if self._expects_key:
            self._key(text, position)
            return
        self._put(Scalar(position, text, plain), event.anchor, 1 + len(text) // _WEIGHT_OF_TEXT, 0)

    @property
    def _expects_key(self) -> bool:
        return bool(self._open) and self._open[-1].key is None and isinstance(self._open[-1].node, Table)

    def _key(self, text: str, position: Position) -> None:
        here = self._open[-1]
        assert isinstance(here.node, Table)
        if text in here.node.keys:
            first = here.node.keys[text].line
            self.problems.append(
                _at(position, f"the key {_shown(text)} stands twice in this map, first in line {first}")
            )
        elif not text:
            self.problems.append(_at(position, "a key is missing before the colon"))
        here.key, here.key_position = text, position

    def _start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        position = _position(event)
        is_table = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{_TYPES}{'map' if is_table else 'seq'}"):
            self._refuse_tag(position)
        if self._expects_key:
            raise _Refused(position, "a key has to be text: quote one that begins with [ or {")
        if len(self._open) >= MAX_DEPTH:
            raise _Refused(position, f"is nested more than {MAX_DEPTH} levels deep")
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(None)
        self._open.append(_Open(Table(position) if is_table else Items(position), event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        if isinstance(done.node, Table):
            for merged in done.merges:
                for key, value in merged.entries.items():
                    if key not in done.node.entries:
                        done.node.entries[key] = value
                        done.node.keys[key] = merged.keys[key]
        self._put(done.node, done.anchor, done.weight, done.depth)

    def _alias(self, event: yaml.AliasEvent) -> None:
        position = _position(event)
        if self._expects_key:
            raise _Refused(position, f"a key can't be an alias: {QUOTE_STAR}")
        anchored = self._anchors.get(event.anchor or "")
        if anchored is None:
            # Most likely the quotes of "*-slim", or of a password, are missing.
            self.problems.append(_at(position, f"no anchor of this name is here: {QUOTE_STAR}"))
            self._put(Scalar(position, "", False), None, 1, 0)
        elif anchored.node is None:
            raise _Refused(position, "an alias stands inside the value that it refers to")
        else:
            self._put(anchored.node, None, anchored.weight, anchored.depth, position)

    def _put(
        self, node: Raw, anchor: str | None, weight: int, depth: int, position: Position | None = None
    ) -> None:
        """Add a complete node to the tree; `position` is that of an alias to it."""
        position = position or node.position
        if anchor:
            self._anchors[anchor] = _Anchored(node, weight, depth)
        if not self._open:
            self.root = node
            return
        here = self._open[-1]
        here.weight += weight
        here.depth = max(here.depth, depth + 1)
        self._weight += 1
        if here.weight > MAX_WEIGHT or self._weight > MAX_WEIGHT:
            raise _Refused(position, f"has more than {MAX_WEIGHT} values, aliases expanded")
        if len(self._open) + depth > MAX_DEPTH:
            raise _Refused(position, f"is nested more than {MAX_DEPTH} levels deep")
        if isinstance(here.node, Items):
            here.node.items.append(node)
            return
        key, here.key = here.key, None
        assert key is not None
        if key == "<<":
            if here.merge:
                self.problems.append(
                    _at(here.key_position, "<< stands twice in this map: give it a list of aliases")
                )
            here.merge = here.key_position
            here.merges += _merged(node, position)
        elif key not in here.node.keys:
            here.node.keys[key] = here.key_position
            here.node.entries[key] = node

    def _refuse_tag(self, position: Position) -> None:
        message = "tags such as !name are not allowed: remove it, or quote a value that begins with !"
        self.problems.append(_at(position, message))


def _merged(node: Raw, position: Position) -> Iterator[Table[Scalar]]:
    """Yield the tables that `<<` merges; of several with one key, the first wins."""
    tables = node.items if isinstance(node, Items) else [node]
    for table in tables:
        if not isinstance(table, Table):
            raise _Refused(position, "<< takes an alias for a map, or a list of such")
        yield table


def _position(event: yaml.Event) -> Position:
    mark = event.start_mark
    assert mark is not None
    return Position(mark.line + 1, mark.column + 1)


def _at(position: Position, message: str) -> Problem:
    return Problem(message=message, line=position.line, column=position.column)


def _shown(key: str) -> str:
    return repr(key if len(key) <= 60 else f"{key[:57]}...")
