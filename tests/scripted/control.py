"""
Control of a registry that runs as another process: paths under `/_scripted/`, without authorization.

    GET  /_scripted/state       counts, tags, incomplete tags, violations, manifests put with parts unseen
    GET  /_scripted/requests    every request
    POST /_scripted/rules       {"method": "GET", "pattern": "/blobs/", "times": 2, "fault": "answer", "with": {…}}
    POST /_scripted/behaviour   {"referrers": false}
    POST /_scripted/clear       remove the rules, forget the requests
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scripted import faults
from scripted.access import Bearer
from scripted.wire import respond

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scripted.registry import ScriptedRegistry
    from scripted.wire import Request, Response

PREFIX = "/_scripted/"


def attach(registry: ScriptedRegistry) -> None:
    """Open the control paths of a registry. They are not recorded in what they tell."""

    async def action(request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
        body = await request.body.read(1024 * 1024)
        verb = request.path.removeprefix(PREFIX)
        try:
            found = _answer(registry, request.method, verb, json.loads(body) if body else {})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return respond(400, f"{type(error).__name__}: {error}\n".encode())
        return respond(200, json.dumps(found).encode(), [("Content-Type", "application/json")])

    registry.control = action


def _answer(registry: ScriptedRegistry, method: str, verb: str, body: dict[str, Any]) -> object:
    if (method, verb) == ("GET", "state"):
        return state_of(registry)
    if (method, verb) == ("GET", "requests"):
        return [asdict(request) for request in _recorded(registry)]
    if (method, verb) == ("POST", "rules"):
        name = body.pop("fault")
        if name not in faults.__all__:
            raise KeyError(name)
        respond_with = getattr(faults, name)(**body.pop("with", {}))
        registry.on(body.pop("method"), body.pop("pattern"), respond=respond_with, **body)
        return {}
    if (method, verb) == ("POST", "behaviour"):
        for name, value in body.items():
            if not hasattr(registry.behaviour, name):
                raise KeyError(name)
            setattr(registry.behaviour, name, value)
        return {}
    if (method, verb) == ("POST", "clear"):
        registry.rules.clear()
        registry.requests.clear()
        return {}
    raise ValueError(f"nothing to {method} at {PREFIX}{verb}")


def state_of(registry: ScriptedRegistry) -> dict[str, object]:
    """Return what a test asks of a registry in the end."""
    requests = _recorded(registry)
    return {
        "requests": len(requests),
        "by_method": Counter(request.method for request in requests),
        "by_status": Counter(str(request.status) for request in requests),
        "peak": registry.requests.peak,
        "connections": registry.requests.connections,
        "tokens": registry.auth.tokens.issued if isinstance(registry.auth, Bearer) else 0,
        "tags": {name: repository.tags for name, repository in registry.repositories.items()},
        "incomplete": registry.incomplete_tags(),
        "violations": registry.violations,
        "unseen": registry.unseen,
    }


def _recorded(registry: ScriptedRegistry) -> list[Any]:
    return [request for request in registry.requests if not request.target.startswith(PREFIX)]
