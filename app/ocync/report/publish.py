"""Delivery of the metrics to a text file and to a Pushgateway, as configured."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ocync.lib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.model import MetricsConfig
    from ocync.report.summary import RunReport

log = logging.getLogger(__name__)


async def publish(
    report: RunReport,
    config: MetricsConfig,
    *,
    environ: Mapping[str, str],
    interval: float | None = None,
    timeout: float = 10.0,
) -> bool:
    """
    Write the text file and push to the Pushgateway, if configured; return whether both worked.

    A failure is only logged as a warning. A dry run delivers nothing. `timeout` bounds the push, in seconds.
    """
    if report.dry_run:
        return True
    good = True
    if config.textfile is not None:
        # prometheus_client takes longer to import than the rest of this package.
        from ocync.report import metrics  # noqa: PLC0415

        try:
            await asyncio.to_thread(metrics.write_file, config.textfile, report, interval=interval)
        except StorageError as error:
            log.warning("%s", error)
            good = False
    if config.pushgateway is not None:
        from ocync.report import metrics, pushgateway  # noqa: PLC0415

        payload = metrics.render(report, interval=interval)
        outcome = await pushgateway.push(config.pushgateway, payload, environ=environ, timeout=timeout)
        good = good and outcome.delivered
    return good
