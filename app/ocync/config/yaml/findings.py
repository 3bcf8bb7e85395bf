"""The problems and warnings of a config file, collected so that all are reported at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ocync.config.yaml.node import Path, Position, render
from ocync.lib.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.config.yaml.node import Value
    from ocync.config.yaml.substitute import Substituted

T = TypeVar("T")

MAX_SHOWN = 1000
"""Problems that one error lists; a generated file may repeat a mistake thousands of times."""
_FEW = 100


class Findings:
    """
    Problems and warnings of one file.

    With `lenient`, a problem caused by a variable that is not set is a warning, and its surroundings are built
    without the value: a file can be checked where its secrets are not available.
    """

    def __init__(self, file: str, *, lenient: bool = False) -> None:
        self.file = file
        self._lenient = lenient
        self._problems: dict[Problem, None] = {}
        self._warnings: dict[Problem, None] = {}
        self._wrong: set[Path] = set()
        self._around: set[Path] = set()

    def error(self, message: str, path: Path, position: Position, source: Substituted | None = None) -> None:
        """Record a problem; `source` is that of the value: the message then names its missing variables."""
        missing = bool(source and source.missing)
        if source and missing and source.reason not in message:
            message = f"{message}: {source.reason}"
        self._wrong.add(path)
        if missing and self._lenient:
            self.warn(message, path, position)
            return
        self._around.update(path[:end] for end in range(len(path) + 1))
        self._problems[_problem(message, path, position)] = None

    def refuse(self, path: Path, value: Value, message: str) -> None:
        """Record a problem with a value, at its position."""
        self.error(message, path, value.position, value.source)

    def attempt(self, path: Path, value: Value, parse: Callable[[Any], T]) -> T | None:
        """Return what `parse` makes of a value; None after a problem, such as its ValueError."""
        if self.affect(path):
            return None
        try:
            return parse(value.content)
        except ValueError as error:
            # The error may quote the value, which may be a secret if it comes from a variable.
            self.refuse(path, value, f"{value.shown} can't be used" if value.source else str(error))
            return None

    def warn(self, message: str, path: Path, position: Position) -> None:
        """Record what is valid and probably a mistake."""
        self._warnings[_problem(message, path, position)] = None

    @property
    def are_few(self) -> bool:
        """Whether there is time to suggest corrections."""
        return len(self._problems) < _FEW

    def is_wrong(self, path: Path) -> bool:
        """Return whether a problem was found here or above, so that no other needs to be reported."""
        # Called for each of tens of thousands of values, and mostly nothing is wrong.
        return bool(self._wrong) and any(path[:end] in self._wrong for end in range(len(path) + 1))

    def affect(self, path: Path) -> bool:
        """Return whether a problem was found here, above or below, so that nothing can be built from here."""
        return bool(self._wrong) and (path in self._around or self.is_wrong(path))

    def warnings(self) -> tuple[str, ...]:
        """Return the warnings as lines, in the order of the file."""
        return tuple(warning.render(self.file) for warning in sorted(self._warnings, key=_order))

    def raise_problems(self) -> None:
        """Raise ConfigError if there are problems."""
        if not self._problems:
            return
        problems = tuple(sorted(self._problems, key=_order))
        if len(problems) <= MAX_SHOWN:
            raise ConfigError.of(self.file, problems)
        shown = ConfigError.of(self.file, problems[:MAX_SHOWN])
        more = f"{self.file}: and {len(problems) - MAX_SHOWN} problems more"
        raise ConfigError(f"{shown.message}\n{more}", file=self.file, problems=problems)


def _problem(message: str, path: Path, position: Position) -> Problem:
    # Messages quote names and values of the file, and have to be one line each.
    return Problem(
        message=" ".join(message.splitlines()), path=render(path), line=position.line, column=position.column
    )


def _order(problem: Problem) -> tuple[int, int, str, str]:
    return problem.line, problem.column, problem.path, problem.message
