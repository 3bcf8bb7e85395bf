"""`ocync copy`: one image, copied by the engine of `ocync sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.cli import runner
from ocync.cli.references import configuration, reference, registry_of, settings
from ocync.config.model import ArtifactRules, MappingConfig, VerifyRules
from ocync.config.verify import Signers, check_pattern
from ocync.lib.errors import ConfigError
from ocync.plan.attachments import Attachments
from ocync.plan.model import Candidate, TargetState
from ocync.plan.source import SourceImage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ocync.config.model import Config
    from ocync.oci.reference import Reference
    from ocync.plan.discover import Repositories


def copy(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Copy one image; return the exit code of the pass."""
    with runner.logging_by(options, environ) as redactor:
        config = configuration(options, environ)
        if config is not None:
            runner.introduce(config, redactor)
        return runner.once(_job(options, config), options, environ, redactor)


def _job(options: argparse.Namespace, config: Config | None) -> runner.Job:
    source, destination = reference(options.source), reference(options.destination)
    if destination.digest is not None:
        raise ConfigError(
            f"{options.destination}: a destination is named by a tag, not by a digest", hint="write DST:TAG"
        )
    if destination.registry is None and source.digest is not None and not (destination.tag or source.tag):
        # A folder lists its images by name, so no program would find one without a tag.
        raise ConfigError(
            f"{options.destination}: an image copied by digest needs a tag in a folder",
            hint=f"write {options.destination}:TAG",
        )
    artifacts = ArtifactRules(enabled=options.artifacts)
    mapping = MappingConfig(
        name=source.repository.path,
        source=registry_of(source, config),
        source_repository=source.repository,
        targets=((registry_of(destination, config), destination.repository),),
        artifacts=artifacts,
        verify=_verify(options),
    )
    if _is_same_image(source, destination):
        raise ConfigError(
            f"{options.source} can't be copied onto itself", hint="give the destination another name or tag"
        )

    def work(repositories: Repositories) -> list[Candidate]:
        registry, repository = mapping.targets[0]
        origin = repositories.source(mapping.source, mapping.source_repository)
        attachments = Attachments(origin, artifacts)
        return [
            Candidate(
                mapping=mapping,
                image=SourceImage(origin, source.reference),
                target=TargetState(repository=repositories.target(registry, repository)),
                attachments=attachments if artifacts.enabled else None,
                signatures=None if mapping.verify is None else attachments,
                target_tag=destination.tag or source.tag,
            )
        ]

    cache_dir = config.settings.cache_dir if config is not None else None
    return runner.Job(settings=settings(config), work=work, cache_dir=cache_dir)


def _verify(options: argparse.Namespace) -> VerifyRules | None:
    """Return the trusted signers of the options; None if there are none. Raises ConfigError."""
    name, pattern, issuer = options.verify_identity, options.verify_identity_regexp, options.verify_issuer
    has_identity = name is not None or pattern is not None
    if has_identity != (issuer is not None):
        missing = "--verify-issuer" if has_identity else "--verify-identity or --verify-identity-regexp"
        raise ConfigError(f"{missing} is missing: an identity is trusted only together with its issuer")
    if options.verify_trusted_root is not None and not has_identity:
        raise ConfigError("--verify-trusted-root needs --verify-identity and --verify-issuer")
    if not (options.verify_key or has_identity):
        return None
    signers = Signers()
    try:
        keys = tuple(signers.key(each, "--verify-key") for each in options.verify_key)
        if not has_identity:
            return VerifyRules(keys=keys)
        check_pattern(pattern or "")
        identity = signers.identity(identity=name, pattern=pattern, issuer=issuer, root=options.verify_trusted_root)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return VerifyRules(keys=keys, keyless=(identity,))


def _is_same_image(source: Reference, destination: Reference) -> bool:
    """Return whether source and destination are the same repository, with the same tag or digest."""
    if (source.registry, source.repository) != (destination.registry, destination.repository):
        return False
    return (destination.tag or source.tag or source.reference) == source.reference
