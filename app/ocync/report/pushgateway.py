"""
The push to a Pushgateway: one POST, which replaces the metrics of the same names in one group and keeps the others.

So the time of the last success, which only a successful pass pushes, outlives failed passes (Pushgateway's README,
"POST method"). prometheus_client's own push is not used: it blocks, has no timeout for the whole push, and ignores
networks in NO_PROXY.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from ocync import USER_AGENT
from ocync.lib import remedies
from ocync.lib.errors import OcyncError
from ocync.lib.log import TRACE
from ocync.lib.redaction import excerpt
from ocync.registry.auth.secret_files import reveal
from ocync.registry.http import trust
from ocync.registry.http.socket_errors import reason
from ocync.report.gateway_url import Gateway, origin_of
from ocync.report.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.model import PushgatewayConfig, TlsSettings

log = logging.getLogger(__name__)

_DOCUMENTATION = "see metrics.pushgateway in the configuration"
_ERROR_BODY = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOutcome:
    """The outcome of a push: `problem` is empty if the gateway accepted it; no field holds a secret."""

    problem: str = ""
    hint: str = ""
    status: int | None = None

    @property
    def delivered(self) -> bool:
        """Whether the gateway has the metrics."""
        return not self.problem


async def push(
    config: PushgatewayConfig, payload: bytes, *, environ: Mapping[str, str], timeout: float = 10.0
) -> PushOutcome:
    """
    Push a payload in the text format 0.0.4 within `timeout` seconds in all.

    A failure of the gateway, the network or the settings is not raised: it is logged as one warning and returned.
    """
    name = "the Pushgateway"
    try:
        gateway = Gateway.of(config.url, environ)
        name = gateway.name
        outcome = await _try_push(timeout, config, gateway, payload)
    except OcyncError as error:
        outcome = PushOutcome(problem=error.message, hint=error.hint or _DOCUMENTATION)
    except Exception as error:
        # A defect here must not change the exit code of the pass, which is over.
        log.log(TRACE, "unexpected error in a push", exc_info=error)
        outcome = PushOutcome(problem=f"unexpected {type(error).__name__}", hint=remedies.DEFECT)
    if outcome.delivered:
        log.debug("pushed metrics to %s", name)
    else:
        log.warning("metrics were not pushed to %s: %s; %s", name, outcome.problem, outcome.hint)
    return outcome


async def _try_push(timeout: float, config: PushgatewayConfig, gateway: Gateway, payload: bytes) -> PushOutcome:
    try:
        async with asyncio.timeout(timeout):
            return await _post(config, gateway, payload, timeout)
    except (TimeoutError, httpx.TimeoutException):
        return PushOutcome(problem=f"no answer within {timeout:g} s", hint=_network_hint(gateway, None))
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        # httpx does not wrap the OSError of a TLS alert after the handshake (no client certificate).
        cause = _root_cause(error)
        errno = cause.errno if isinstance(cause, ConnectionError) else None
        # asyncio replaces the system's message by `Connect call failed (…)`.
        message = os.strerror(errno) if errno else reason(cause)
        return PushOutcome(problem=excerpt(message), hint=_network_hint(gateway, cause))


async def _post(config: PushgatewayConfig, gateway: Gateway, payload: bytes, timeout: float) -> PushOutcome:
    account = gateway.account
    if config.username is not None or config.password is not None:
        account = (
            await reveal(config.username) if config.username else "",
            await reveal(config.password) if config.password else "",
        )
    transport = _transport(gateway, config.tls)
    headers = {"Content-Type": CONTENT_TYPE, "User-Agent": USER_AGENT}
    url = gateway.group(config.job, config.grouping)
    async with (
        httpx.AsyncClient(transport=transport, auth=account, timeout=timeout, trust_env=False) as client,
        client.stream("POST", url, content=payload, headers=headers) as response,
    ):
        body = b""
        if not response.is_success:
            async for piece in response.aiter_bytes(_ERROR_BODY):
                body += piece
                if len(body) >= _ERROR_BODY:
                    break
    return _outcome_of(response, body, account)


def _transport(gateway: Gateway, tls: TlsSettings) -> httpx.AsyncHTTPTransport:
    """Return a transport for one request, with nothing of the transport for images."""
    # Loading certificate authorities takes longer than a push without TLS.
    encrypted = "https" in (gateway.url.scheme, (gateway.proxy or "").partition(":")[0])
    context = trust.context(tls) if encrypted else None
    proxy = httpx.Proxy(gateway.proxy, ssl_context=context) if gateway.proxy else None
    return httpx.AsyncHTTPTransport(verify=context or False, proxy=proxy)


def _outcome_of(response: httpx.Response, body: bytes, account: tuple[str, str] | None) -> PushOutcome:
    status = response.status_code
    if response.is_success:
        return PushOutcome(status=status)
    said = excerpt(re.sub(r"<[^>]*>", " ", body.decode("utf-8", "replace")), secrets=account or ())
    problem = f"it answered {status} {excerpt(response.reason_phrase)}".rstrip() + (f" ({said})" if said else "")
    return PushOutcome(problem=problem, hint=_answer_hint(response), status=status)


def _answer_hint(response: httpx.Response) -> str:
    match response.status_code:
        case 400:
            return (
                "if another group has one of these metrics with another type, delete that group; "
                "otherwise check the label names in metrics.pushgateway.grouping"
            )
        case 401 | 403:
            return "check metrics.pushgateway.username and metrics.pushgateway.password"
        case 404 | 405:
            return "check metrics.pushgateway.url: the gateway's address, with the path before /metrics/job, if any"
        case 407:
            return "the proxy requires credentials: set http://user:password@host:port in HTTP_PROXY or HTTPS_PROXY"
        case status if 300 <= status < 400:
            return f"it redirects{_redirect_target(response)}: set metrics.pushgateway.url to the new address"
        case status if status >= 500:
            return "see the Pushgateway's log; the next pass pushes again"
        case _:
            return _DOCUMENTATION


def _redirect_target(response: httpx.Response) -> str:
    try:
        location = httpx.URL(response.headers.get("location", ""))
    except httpx.InvalidURL:
        return ""
    return f" to {origin_of(location)}" if location.is_absolute_url else ""


def _network_hint(gateway: Gateway, cause: BaseException | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "set metrics.pushgateway.tls.ca_file to the certificate of its authority"
    advice = "check metrics.pushgateway.url, network policies, and that the Pushgateway is up"
    if gateway.proxy is None:
        return advice
    proxy, host = origin_of(httpx.URL(gateway.proxy)), gateway.url.host
    return f"{advice}; the push went through the proxy {proxy}: NO_PROXY={host} avoids it"


def _root_cause(error: BaseException) -> BaseException:
    """Return the error of the socket, which httpx and httpcore have wrapped."""
    seen = {id(error)}
    while True:
        # httpcore raises its errors `from None`, which leaves only the context.
        inner = error.__cause__ or error.__context__
        if isinstance(inner, BaseExceptionGroup):
            inner = inner.exceptions[0]
        if inner is None or id(inner) in seen:
            return error
        seen.add(id(inner))
        error = inner
