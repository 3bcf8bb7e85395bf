"""A fake of Chainguard's token service: tokens for the registry to those who may assume an identity."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fakes.azure import jwt
from fakes.service import Answer, FakeService

if TYPE_CHECKING:
    from fakes.service import Asked

IDENTITY = "720909c9f5279097d847ad02120f8ff7bd2d3f9b/0e2d4b1d2a2b9c11"


class FakeChainguard(FakeService):
    """Knows one identity, which `subject` (the projected token) may assume."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.subject = "cluster.jwt.token-1"
        self.life = 3600
        self.audience = ""
        """What tokens are asked for; nothing stands for any."""
        self.given: list[str] = []

    def _answer(self, asked: Asked) -> Answer:
        assert (asked.method, asked.path) == ("POST", "/sts/exchange"), asked
        assert self.audience in ("", asked.query["aud"])
        if asked.headers.get("authorization") != f"Bearer {self.subject}":
            return Answer(401, {"code": 16, "message": "token subject does not match", "details": []})
        if asked.query["identity"] != IDENTITY:
            return Answer(404, {"code": 5, "message": "no such identity", "details": []})
        now = int(time.time())
        token = jwt({"iat": now, "exp": now + self.life, "sub": IDENTITY, "jti": len(self.given)})
        self.given.append(token)
        return Answer(200, {"token": token, "refresh_token": ""})
