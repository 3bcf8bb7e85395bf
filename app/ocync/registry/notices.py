"""What registries want people to know: `Warning: 299 - "text"` (distribution-spec 1.1, "Warnings")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Only this form is allowed: code 299, agent "-", no date.
_WARNING = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
MAX_BYTES = 4096
"""Bytes of one answer's warnings that are read at most, as the specification allows."""


def texts(values: Sequence[str]) -> Iterator[str]:
    """Give the texts of an answer's Warning fields; those of another form are left out."""
    left = MAX_BYTES
    for value in values:
        left -= len(value)
        if left < 0:
            return
        for match in _WARNING.finditer(value):
            yield _ESCAPED.sub(r"\1", match.group(1))
