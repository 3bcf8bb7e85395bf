"""The section `global`, with the state's repository, durations and sizes."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from ocync.config.model import GlobalSettings, RegistryConfig, RetrySettings, StateConfig, Timeouts
from ocync.config.overlap import Claim
from ocync.config.section import given
from ocync.oci.reference import Reference, is_repository, is_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ocync.config.model import MappingConfig
    from ocync.config.section import Section

CACHE_DIR = ".ocync-cache"
"""The default of `cache_dir`, beside the config file."""
STATE_TAG = "ocync-state"
"""The tag of a state artifact that names none."""

_PART = re.compile(r"([0-9]+)([smhd])", re.ASCII)
_DURATION = re.compile(r"(?:[0-9]+[smhd])+", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 100 * 366 * 86400
"""Seconds; timers are not safe beyond."""
_AUDIT_EVERY = (3600.0, 365 * 86400.0)
"""The fewest and the most seconds of `audit.every`."""

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)(I?)(B?)", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_LARGEST = 1 << 60


def settings(root: Section, file: File, known: Mapping[str, RegistryConfig | None]) -> GlobalSettings:
    """Return the settings of the whole pass."""
    section = root.section("global")
    timeouts, retry = section.section("timeouts"), section.section("retry")
    cache_dir = section.text("cache_dir")
    return GlobalSettings(
        cache_dir=File(cache_dir) if cache_dir else file.parent / CACHE_DIR,
        deadline=section.parse("deadline", _positive),
        timeouts=Timeouts(
            **given(connect=timeouts.parse("connect", _positive), idle=timeouts.parse("idle", _positive))
        ),
        retry=RetrySettings(
            **given(attempts=retry.number("attempts"), max_delay=retry.parse("max_delay", duration))
        ),
        **given(
            max_concurrent_transfers=section.number("max_concurrent_transfers"),
            cache_ttl=section.parse("cache_ttl", duration),
            staging_size_limit=section.parse("staging_size_limit", size),
            state=_state(section.section("state"), known),
        ),
        **_audit(section),
    )


def check_state(root: Section, state: StateConfig | None, mappings: Iterable[MappingConfig]) -> None:
    """
    Record a mapping that writes the repository of the state: mapping and state could overwrite each other's tags.

    A mapping that reads there is harmless; it is a warning if it would copy the state like an image.
    """
    section = root.section("global").section("state")
    value = section.value("artifact")
    if state is None or value is None:
        return
    path, position = section.at("artifact"), section.position("artifact")
    for mapping in mappings:
        subject = f"is in {state.repository}, which the mapping of {mapping.name} (line {mapping.line})"
        if state.repository in (repository for _, repository in mapping.targets):
            message = f"{subject} writes: name a repository that no mapping has as a target"
            section.findings.error(message, path, position, value.source)
            return
        if state.repository == mapping.source_repository:
            claim = Claim.of(mapping, path, position)
            if claim is not None and claim.may_select([state.tag]):
                message = f"{subject} reads: exclude the tag {state.tag} there, or it is copied too"
                section.findings.warn(message, path, position)


def duration(written: str | int) -> float:
    """Return the seconds of `90` (seconds), `90s`, `30m`, `12h`, `1d` or `1h30m`; raises ValueError."""
    text = str(written)
    if re.fullmatch("[0-9]+", text, re.ASCII):
        parts = [(text, "s")]
    elif _DURATION.fullmatch(text):
        parts = _PART.findall(text)
    else:
        raise ValueError("is not a duration: write seconds, or 90s, 30m, 12h, 1d, 1h30m")
    # Python refuses to convert very long numbers.
    if any(len(digits) > 12 for digits, _ in parts):
        raise ValueError("is longer than a hundred years")
    seconds = sum(int(digits) * _SECONDS[unit] for digits, unit in parts)
    if seconds > _LONGEST:
        raise ValueError("is longer than a hundred years")
    return float(seconds)


def size(written: str | int) -> int:
    """
    Return the bytes of `1000`, `2GB` or `10MiB`; raises ValueError.

    KB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB of 1024. The B is optional; case is ignored.
    """
    found = _SIZE.fullmatch(str(written))
    if found is None or (found[3] and not found[2]):
        raise ValueError("is not a size: write bytes, or 500MB, 2GB, 10MiB")
    if len(found[1]) > 25:
        raise ValueError("is larger than any disk")
    base = 1024 if found[3] else 1000
    count = int(Decimal(found[1]) * base ** _POWERS[found[2].upper()])
    if count > _LARGEST:
        raise ValueError("is larger than any disk")
    return count


def _positive(written: str | int) -> float:
    seconds = duration(written)
    if not seconds:
        raise ValueError("has to be more than 0")
    return seconds


def _audit(section: Section) -> dict[str, Any]:
    """Return `audit_every` as an argument of the model: `off` is None there, unlike the default."""
    value = section.value("audit")
    if value is not None and value.content in (False, "off", "false"):
        return {"audit_every": None}
    return given(audit_every=section.section("audit").parse("every", _audit_period))


def _audit_period(written: str | int) -> float:
    seconds = duration(written)
    if not _AUDIT_EVERY[0] <= seconds <= _AUDIT_EVERY[1]:
        raise ValueError("has to be from 1h to 365d")
    return seconds


def _state(section: Section, known: Mapping[str, RegistryConfig | None]) -> StateConfig | None:
    """
    Return where the state is stored; None if that is not set.

    The part before the first slash is the name of one of `registries`, or a host; the settings are then those of
    the registry with that host, if there is one.
    """
    artifact = section.text("artifact")
    if not artifact or not section.is_sound("artifact"):
        return None
    name, slash, rest = artifact.partition("/")
    try:
        if slash and name in known:
            registry = known[name]
            # What is wrong with the registry was recorded where it is defined.
            return _state_in(registry, rest) if registry is not None else None
        return _state_at_host(artifact, known)
    except ValueError as error:
        section.error("artifact", str(error))
        return None


def _state_in(registry: RegistryConfig, rest: str) -> StateConfig:
    name, colon, tag = rest.partition(":")
    repository = registry.repository(name)
    if not is_repository(repository.path) or (colon and not is_tag(tag)):
        raise ValueError(f"{rest!r} is not REPOSITORY or REPOSITORY:TAG")
    return StateConfig(registry=registry, repository=repository, tag=tag or STATE_TAG)


def _state_at_host(artifact: str, known: Mapping[str, RegistryConfig | None]) -> StateConfig:
    reference = Reference.parse(artifact)
    wanted = reference.registry
    if wanted is None or reference.digest is not None:
        raise ValueError("is not HOST/REPOSITORY[:TAG], nor the name of a registry, a slash and a repository")
    same_host = (
        config
        for config in known.values()
        if config is not None
        and config.registry is not None
        and (config.registry.canonical, config.registry.scheme) == (wanted.canonical, wanted.scheme)
    )
    config = next(same_host, None) or RegistryConfig(name=wanted.host, registry=wanted)
    return StateConfig(registry=config, repository=reference.repository, tag=reference.tag or STATE_TAG)
