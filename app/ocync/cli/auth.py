"""`ocync auth check`: which credentials are found where, and whether each registry accepts them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ocync.cli import runner, streams
from ocync.config.load import load
from ocync.lib.errors import ExitCode
from ocync.registry.auth.check import CheckOutcome, Finding
from ocync.registry.auth.check import check as check_registry
from ocync.registry.auth.scope import Scope
from ocync.registry.retry import RetryPolicy
from ocync.registry.sender import RequestTally
from ocync.run.repositories import RepositoryFactory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from ocync.config.model import Config, RegistryConfig


def check(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Check the registries of all configurations; return 0, the exit code that all failures share, or 2."""
    with runner.logging_by(options, environ) as redactor:
        findings: list[Finding] = []
        for path in options.config:
            config = load(Path(path), environ)
            runner.introduce(config, redactor)
            findings += asyncio.run(_check(config, environ))
        for finding in findings:
            if not options.json and (not options.quiet or finding.error is not None):
                streams.write(f"{_line(finding)}\n")
        if options.json:
            streams.write(json.dumps([_fields(finding) for finding in findings], indent=2) + "\n")
    return _exit_code(findings)


async def _check(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    settings = config.settings
    policy = RetryPolicy(attempts=settings.retry.attempts, max_delay=settings.retry.max_delay)
    repositories = RepositoryFactory(
        timeouts=settings.timeouts, policy=policy, tally=RequestTally(), environ=environ
    )
    async with repositories, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                check_registry(
                    registry, environ, send=repositories.token_sender(registry), scope=_scope(registry, config)
                )
            )
            for registry in config.registries.values()
        ]
    return [task.result() for task in tasks]


def _scope(registry: RegistryConfig, config: Config) -> Scope | None:
    """Return the scope of the first mapping that uses the registry; None if no mapping does."""
    for mapping in config.mappings:
        if mapping.source is registry:
            return Scope(mapping.source_repository.path, ("pull",))
    for mapping in config.mappings:
        for target, repository in mapping.targets:
            if target is registry:
                return Scope(repository.path, ("pull", "push"))
    return None


def _line(finding: Finding) -> str:
    credentials = f"{finding.kind} from {finding.origin}" if finding.kind else "no credentials could be read"
    host = f" ({finding.host})" if finding.host else ""
    if finding.verdict is CheckOutcome.FOLDER:
        return f"{finding.registry}: {finding.message}"
    return f"{finding.registry}{host}: {finding.verdict.value.replace('_', ' ')}: {credentials}; {finding.message}"


def _fields(finding: Finding) -> dict[str, str]:
    return {
        "registry": finding.registry,
        "host": finding.host,
        "credentials": finding.kind,
        "origin": finding.origin,
        "verdict": finding.verdict.value,
        "message": finding.message,
    }


def _exit_code(findings: Sequence[Finding]) -> int:
    codes = {finding.error.exit_code for finding in findings if finding.error is not None}
    if not codes:
        return ExitCode.OK
    return codes.pop() if len(codes) == 1 else ExitCode.FAILED
