"""Error documents (distribution-spec 1.1, "Error Codes")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripted.wire import respond

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripted.wire import Response


class RefusedError(Exception):
    """Ends the handling of a request with an error document."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str = "",
        headers: Iterable[tuple[str, str]] = (),
        detail: object = None,
    ) -> None:
        super().__init__(f"{status} {code} {message}")
        self.response = problem(status, code, message, headers, detail)


def problem(
    status: int, code: str, message: str = "", headers: Iterable[tuple[str, str]] = (), detail: object = None
) -> Response:
    """Make an answer with one error in it."""
    entry: dict[str, object] = {"code": code, "message": message or code.lower().replace("_", " ")}
    if detail is not None:
        entry["detail"] = detail
    body = json.dumps({"errors": [entry]}).encode() + b"\n"
    return respond(status, body, [("Content-Type", "application/json"), *headers])
