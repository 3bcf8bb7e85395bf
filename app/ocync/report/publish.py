"""Metrics of a finished pass to wherever the configuration wants them."""

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
    Write the textfile and push to the Pushgateway, where they are configured; tell whether all of it worked.

    What does not work is a warning in the log and changes nothing else. A dry run has brought nothing anywhere,
    so nothing is told of it. `timeout` bounds the push.
    """
    if report.dry_run:
        return True
    good = True
    if config.textfile is not None:
        # prometheus_client takes longer to import than the rest of this package: only where it is needed.
        from ocync.report import textfile  # noqa: PLC0415

        try:
            await asyncio.to_thread(textfile.write, config.textfile, report, interval=interval)
        except StorageError as error:
            log.warning("%s", error)
            good = False
    if config.pushgateway is not None:
        from ocync.report import metrics, pushgateway  # noqa: PLC0415

        payload = metrics.render(report, interval=interval)
        outcome = await pushgateway.push(config.pushgateway, payload, environ=environ, timeout=timeout)
        good = good and outcome.delivered
    return good
