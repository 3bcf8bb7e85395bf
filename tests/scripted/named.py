"""Actions with a name, for the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scripted.rules import Action
    from scripted.wire import Request, Response

    Proceed = Callable[[], Awaitable[Response]]


class Named:
    """An action that can be recognised in a record."""

    def __init__(self, name: str, action: Action) -> None:
        self._name = name
        self._action = action

    async def __call__(self, request: Request, proceed: Proceed) -> Response:
        return await self._action(request, proceed)

    def __repr__(self) -> str:
        return self._name
