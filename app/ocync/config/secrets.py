"""All secrets that a configuration holds, so that they can be kept out of what is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocync.config.model import Config, Secret


def secrets_of(config: Config) -> Iterator[tuple[str, str]]:
    """
    Yield each secret with the user name that it is sent with (empty for a token).

    Secrets that stand in files are not read here: who reads them makes them known.
    """
    for registry in config.registries.values():
        yield from _pair(registry.username, registry.password)
        yield from _pair(None, registry.token)
    if config.metrics.pushgateway is not None:
        yield from _pair(config.metrics.pushgateway.username, config.metrics.pushgateway.password)


def _pair(username: Secret | None, secret: Secret | None) -> Iterator[tuple[str, str]]:
    if secret is not None and secret.value is not None:
        yield secret.value, (username.value or "") if username is not None else ""
