"""
Metrics to a Pushgateway: one POST, which replaces the metrics of the same names in one group and keeps the rest.

So the time of the last success, which only a good pass pushes, survives the passes that are not (Pushgateway's
README, "POST method"). prometheus_client's own push blocks, and obeys proxy variables without their exceptions for
networks; its handlers can't be bounded in time as a whole.
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
from ocync.report.gateway_url import Gateway, named
from ocync.report.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.model import PushgatewayConfig, TlsSettings

log = logging.getLogger(__name__)

_DOCUMENTATION = "see metrics.pushgateway in the configuration"
_ERROR_BODY = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOutcome:
    """What became of a push: `problem` is empty when the gateway has taken it; it holds no secret."""

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
    Push a payload in the text format 0.0.4 within `timeout` seconds, all in all.

    Never raises for what the gateway, the network or the settings do: a pass is as good without. What went wrong
    is logged as one warning and returned.
    """
    name = "the Pushgateway"
    try:
        gateway = Gateway.of(config.url, environ)
        name = gateway.name
        outcome = await _within(timeout, config, gateway, payload)
    except OcyncError as error:
        outcome = PushOutcome(problem=error.message, hint=error.hint or _DOCUMENTATION)
    except Exception as error:
        # The pass is over and has its exit code, which a defect here must not take from it.
        log.log(TRACE, "unexpected error of a push", exc_info=error)
        outcome = PushOutcome(problem=f"unexpected {type(error).__name__}", hint=remedies.DEFECT)
    if outcome.delivered:
        log.debug("metrics pushed to %s", name)
    else:
        log.warning("metrics were not pushed to %s: %s; %s", name, outcome.problem, outcome.hint)
    return outcome


async def _within(timeout: float, config: PushgatewayConfig, gateway: Gateway, payload: bytes) -> PushOutcome:
    try:
        async with asyncio.timeout(timeout):
            return await _post(config, gateway, payload, timeout)
    except (TimeoutError, httpx.TimeoutException):
        problem = f"no answer within {timeout:g} s"
        return PushOutcome(problem=problem, hint=_advice_on_network(gateway, None))
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        # OSError: a TLS alert after the handshake (no client certificate) comes through httpx as it is.
        cause = _deepest(error)
        return PushOutcome(problem=excerpt(_words(cause)), hint=_advice_on_network(gateway, cause))


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
    return _judged(response, body, account)


def _transport(gateway: Gateway, tls: TlsSettings) -> httpx.AsyncHTTPTransport:
    """Return a transport for one request; it needs nothing of the one that images go through."""
    # Without TLS no authorities are loaded, which takes longer than the push.
    encrypted = "https" in (gateway.url.scheme, (gateway.proxy or "").partition(":")[0])
    context = trust.context(tls) if encrypted else None
    proxy = httpx.Proxy(gateway.proxy, ssl_context=context) if gateway.proxy else None
    return httpx.AsyncHTTPTransport(verify=context or False, proxy=proxy)


def _judged(response: httpx.Response, body: bytes, account: tuple[str, str] | None) -> PushOutcome:
    status = response.status_code
    if response.is_success:
        return PushOutcome(status=status)
    said = excerpt(re.sub(r"<[^>]*>", " ", body.decode("utf-8", "replace")), secrets=account or ())
    problem = f"it answered {status} {excerpt(response.reason_phrase)}".rstrip() + (f" ({said})" if said else "")
    return PushOutcome(problem=problem, hint=_advice_on_answer(response), status=status)


def _advice_on_answer(response: httpx.Response) -> str:
    match response.status_code:
        case 400:
            return (
                "another group there may push one of these metrics with another type: delete that group; "
                "or a label of metrics.pushgateway.grouping has no valid name"
            )
        case 401 | 403:
            return "check metrics.pushgateway.username and metrics.pushgateway.password"
        case 404 | 405:
            return (
                "check metrics.pushgateway.url: it is the Pushgateway's, with the path before /metrics/job, if any"
            )
        case 407:
            return "the proxy wants credentials: http://user:password@host:port in HTTP_PROXY or HTTPS_PROXY"
        case status if 300 <= status < 400:
            return f"it redirects{_where(response)}: set metrics.pushgateway.url to where it leads"
        case status if status >= 500:
            return "see the Pushgateway's log; the next pass pushes again"
        case _:
            return _DOCUMENTATION


def _where(response: httpx.Response) -> str:
    try:
        location = httpx.URL(response.headers.get("location", ""))
    except httpx.InvalidURL:
        return ""
    return f" to {named(location)}" if location.is_absolute_url else ""


def _advice_on_network(gateway: Gateway, cause: BaseException | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "add its authority as metrics.pushgateway.tls.ca_file"
    advice = "check metrics.pushgateway.url, that the Pushgateway is up, and network policies"
    if gateway.proxy is None:
        return advice
    host = gateway.url.host
    return (
        f"{advice}; it was asked through the proxy {named(httpx.URL(gateway.proxy))}: NO_PROXY={host} avoids that"
    )


def _words(cause: BaseException) -> str:
    # asyncio puts `Connect call failed (…)` where the system's own words were.
    if isinstance(cause, ConnectionError) and cause.errno:
        return os.strerror(cause.errno)
    return reason(cause)


def _deepest(error: BaseException) -> BaseException:
    """Return the error of the socket below what httpx and its parts make of it."""
    seen = {id(error)}
    while True:
        # httpcore raises its errors again `from None`, which leaves only the context.
        inner = error.__cause__ or error.__context__
        if isinstance(inner, BaseExceptionGroup):
            inner = inner.exceptions[0]
        if inner is None or id(inner) in seen:
            return error
        seen.add(id(inner))
        error = inner
