"""Text of others made fit for a terminal and for logs of one record a line. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from re import Match

# C0 and C1 controls (an ESC or CSI begins a terminal's commands), separators that some readers take for line
# ends, marks that turn the direction of text, and halves of surrogate pairs, which no encoder takes.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: str) -> str:
    r"""Return the text in one line, with every control character shown as an escape (`\x1b`, `\n`, `\u202e`)."""
    # Nearly all text is fit as it is.
    return _UNFIT.sub(_escape, text) if _UNFIT.search(text) else text


def _escape(match: Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
