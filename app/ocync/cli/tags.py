"""`ocync tags`: the tags of a repository that match tag rules, one per line."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ocync.cli import runner, streams
from ocync.cli.references import configuration, reference, registry_of, settings
from ocync.lib.errors import ConfigError, ExitCode, TagRuleError
from ocync.registry.retry import RetryPolicy
from ocync.registry.sender import RequestTally
from ocync.run.repositories import RepositoryFactory
from ocync.tags.rules import SortOrder, TagRules
from ocync.tags.select import select

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def tags(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the tags that the rules select."""
    rules = _rules(options)
    with runner.logging_by(options, environ):
        selected = asyncio.run(_selected(options, environ, rules))
    streams.write("".join(f"{tag}\n" for tag in selected))
    return ExitCode.OK


def _rules(options: argparse.Namespace) -> TagRules:
    if options.latest is not None and options.sort is None:
        raise ConfigError("--latest needs --sort: without an order there is no latest tag")
    return TagRules(
        glob=tuple(options.glob),
        include=tuple(options.include),
        semver=options.semver,
        exclude=tuple(options.exclude),
        sort=SortOrder(options.sort) if options.sort else None,
        latest=options.latest,
    )


async def _selected(options: argparse.Namespace, environ: Mapping[str, str], rules: TagRules) -> tuple[str, ...]:
    config = configuration(options, environ)
    name = reference(options.repository)
    if name.tag is not None or name.digest is not None:
        raise ConfigError(f"{options.repository}: name a repository, without a tag or digest")
    chosen = settings(config)
    policy = RetryPolicy(attempts=chosen.retry.attempts, max_delay=chosen.retry.max_delay)
    repositories = RepositoryFactory(timeouts=chosen.timeouts, policy=policy, tally=RequestTally(), environ=environ)
    async with repositories:
        listed = await repositories.source(registry_of(name, config), name.repository).tags()
    try:
        return select(listed, rules).kept
    except TagRuleError as error:
        raise ConfigError(error.message, hint=error.hint) from error
