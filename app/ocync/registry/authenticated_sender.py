"""Calls with the registry's credentials, which lead to wherever it redirects them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError, ProtocolError
from ocync.registry import links
from ocync.registry.http.origin import Url

if TYPE_CHECKING:
    from ocync.oci.reference import Registry
    from ocync.registry.auth.authorizer import Authorizer
    from ocync.registry.call import Call
    from ocync.registry.http.pool import Response
    from ocync.registry.sender import Sender

MAX_REDIRECTS = 5
_SHORTEST_TOKEN = 8
"""Characters; a shorter one would be found, by accident, everywhere."""


class AuthenticatedSender:
    """
    Sends calls and follows their redirects.

    The Authorization goes to the registry's own scheme, host and port and nowhere else. A 401, and a 403 to a token
    that was not fresh, are answered once with new credentials.
    """

    def __init__(self, registry: Registry, sender: Sender) -> None:
        self.home = Url.parse(registry.api)
        self.authorizer: Authorizer | None = None
        """What makes the credentials; without one, requests go out without any."""
        self._host = registry.host
        self._sender = sender
        # What was shown lately: some registries repeat it when they refuse it. More than are under way at once.
        self._shown: deque[str] = deque(maxlen=256)

    def redirected_to(self, url: Url | None) -> str | None:
        """Return the host that has answered from a URL, where the registry had redirected to another one."""
        # A token service's answer has no URL: it was asked directly.
        return None if url is None or url.origin == self.home.origin else url.origin.authority

    def without_credentials(self, body: bytes) -> bytes:
        """Return a body with the tokens that were sent lately struck out."""
        for shown in self._shown:
            value = shown.partition(" ")[2].encode("latin-1", "replace")
            if len(value) >= _SHORTEST_TOKEN:
                body = body.replace(value, b"***")
        return body

    async def send(self, call: Call, *, until: float) -> Response:
        """Return the answer of whichever host has answered last, with its body unread."""
        url = call.url
        renewed: str | None = None
        elsewhere: str | None = None
        renewals, redirects = set[int](), 0
        while True:
            at_home = url.origin == self.home.origin
            used = renewed if at_home else elsewhere
            if at_home and used is None and self.authorizer is not None:
                # Before a token is waited for together with others, as long as a dead host takes to be noticed.
                await self._sender.wait_for(url.origin)
                used = await self.authorizer.header(call.scopes)
            response = await self._sender.send(
                url,
                call.method,
                [*call.fields, *self._authorization(used)],
                call.content,
                until=until,
                patience=call.patience,
                is_timed=call.is_timed,
            )
            try:
                if response.status in (401, 403) and at_home and response.status not in renewals:
                    renewals.add(response.status)
                    renewed = await self._renew(call, response, url, used)
                    if renewed is not None:
                        await self._sender.discard(response, until=until)
                        if not call.is_replayable:
                            raise self._sent_in_vain(call)
                        continue
                if response.status == 401 and not at_home and elsewhere is None and self.authorizer is not None:
                    # Front ends such as registry.k8s.io lead to hosts that want tokens of their own.
                    elsewhere = await self.authorizer.elsewhere(response.headers, url.text)
                    if elsewhere is not None:
                        await self._sender.discard(response, until=until)
                        continue
                if call.follows(response.status):
                    await self._sender.discard(response, until=until)
                    redirects, elsewhere = redirects + 1, None
                    if redirects > MAX_REDIRECTS:
                        raise ProtocolError(
                            f"can't {call.what}: {self._host} redirects in a circle", host=self._host
                        )
                    what = f"the request to {call.what}"
                    url = links.resolve(response.headers.get("location"), url, what=what, host=self._host)
                    continue
            except BaseException:
                response.close()
                raise
            if used is not None and at_home and response.status != 401 and self.authorizer is not None:
                self.authorizer.accepted(used)
            response.url = url
            return response

    def _authorization(self, shown: str | None) -> list[tuple[str, str]]:
        if shown is None:
            return []
        if shown not in self._shown:
            self._shown.append(shown)
        return [("Authorization", shown)]

    async def _renew(self, call: Call, response: Response, url: Url, used: str | None) -> str | None:
        if self.authorizer is None:
            return None
        if response.status == 401:
            return await self.authorizer.rejected(response.headers, url.text, call.scopes, used)
        return await self.authorizer.forbidden(call.scopes, used)

    def _sent_in_vain(self, call: Call) -> AuthError:
        error = AuthError(
            f"can't {call.what}: {self._host} wanted new credentials after the bytes were sent", host=self._host
        )
        error.retryable = True
        return error
