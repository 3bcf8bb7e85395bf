"""The section `global`."""

from __future__ import annotations

from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from ocync.config.model import GlobalSettings, RetrySettings, Timeouts
from ocync.config.quantity import duration, size
from ocync.config.section import given
from ocync.config.state import state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.model import RegistryConfig
    from ocync.config.section import Section
    from ocync.config.yaml.findings import Findings

CACHE_DIR = ".ocync-cache"
"""The folder beside the config file that is used where `cache_dir` is not set."""
# Seconds of `audit.every`.
_SHORTEST, _LONGEST = 3600.0, 365 * 86400.0


def settings(
    root: Section, file: File, known: Mapping[str, RegistryConfig | None], findings: Findings
) -> GlobalSettings:
    """Return the settings of the whole pass."""
    section = root.section("global")
    timeouts, retry = section.section("timeouts"), section.section("retry")
    cache_dir = section.text("cache_dir")
    return GlobalSettings(
        cache_dir=File(cache_dir) if cache_dir else file.parent / CACHE_DIR,
        deadline=section.read("deadline", _positive, findings),
        timeouts=Timeouts(
            **given(
                connect=timeouts.read("connect", _positive, findings),
                idle=timeouts.read("idle", _positive, findings),
            )
        ),
        retry=RetrySettings(
            **given(attempts=retry.number("attempts"), max_delay=retry.read("max_delay", duration, findings))
        ),
        **given(
            max_concurrent_transfers=section.number("max_concurrent_transfers"),
            cache_ttl=section.read("cache_ttl", duration, findings),
            staging_size_limit=section.read("staging_size_limit", size, findings),
            state=state(section.section("state"), known, findings),
        ),
        **_audit(section, findings),
    )


def _audit(section: Section, findings: Findings) -> dict[str, Any]:
    """Return what is said of audits as an argument of the model: `off` is None there, and not the default."""
    value = section.value("audit")
    if value is not None and value.content in (False, "off", "false"):
        return {"audit_every": None}
    return given(audit_every=section.section("audit").read("every", _period, findings))


def _period(written: str | int) -> float:
    seconds = duration(written)
    if not _SHORTEST <= seconds <= _LONGEST:
        raise ValueError("has to be from 1h to 365d")
    return seconds


def _positive(written: str | int) -> float:
    seconds = duration(written)
    if not seconds:
        raise ValueError("has to be more than 0")
    return seconds
