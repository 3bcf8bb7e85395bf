"""Making repositories at ECR, private and public (ECR API, CreateRepository and PutLifecyclePolicy)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from ocync.lib.errors import NetworkError, RegistryError
from ocync.lib.threads import run_detached
from ocync.registry.auth import aws

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.config.model import CreateRepository
    from ocync.registry.auth.aws import EcrEndpoint
    from ocync.registry.retry import RetryPolicy

log = logging.getLogger(__name__)

T = TypeVar("T")


class EcrRepositories:
    """Makes repositories of one registry as the config wants them."""

    def __init__(self, place: EcrEndpoint, settings: CreateRepository, policy: RetryPolicy) -> None:
        self._place = place
        self._settings = settings
        self._policy = policy

    async def create(self, repository: str) -> None:
        """Make a repository; one that is there already is left as it is. Raises errors of `ocync.lib.errors`."""
        where = f"{self._place.host}/{repository}"
        if not await self._retried(lambda: self._create(repository), f"{where}: the repository was not made"):
            log.debug("the repository %s was made by another client", where)
            return
        log.info("made the repository %s, which was missing", where)
        rules = self._settings.lifecycle_policy
        if rules is None or self._place.public:
            return
        try:
            await self._retried(
                lambda: self._set_lifecycle(repository, rules), f"{where}: the lifecycle policy was not set"
            )
        except RegistryError as error:
            # The images are wanted more than the policy, which nobody would set later: the repository is there now.
            log.warning(
                "%s; the repository is there without it: set it with aws ecr put-lifecycle-policy", error.message
            )

    async def _retried(self, call: Callable[[], T], failed: str) -> T:
        attempts = self._policy.retrying()
        async for attempt in attempts:
            with attempt:
                seconds = attempts.begin()
                try:
                    async with asyncio.timeout(seconds):
                        return await run_detached(call, name="botocore")
                except TimeoutError:
                    raise NetworkError(f"{failed} within {seconds:g} s", host=self._place.host) from None
        raise AssertionError("a retry loop ends by returning or raising")

    def _create(self, repository: str) -> bool:
        with aws.translated(self._place, f"make the repository {repository}"):
            api, _ = aws.client(self._place)
            try:
                api.create_repository(**self._request(repository))
            except api.exceptions.RepositoryAlreadyExistsException:
                return False
        return True

    def _set_lifecycle(self, repository: str, rules: str) -> None:
        with aws.translated(self._place, f"set the lifecycle policy of {repository}"):
            api, _ = aws.client(self._place)
            api.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=rules)

    def _request(self, repository: str) -> dict[str, Any]:
        settings = self._settings
        request: dict[str, Any] = {"repositoryName": repository}
        if settings.tags:
            request["tags"] = [{"Key": key, "Value": value} for key, value in settings.tags.items()]
        if self._place.public:
            return request
        if settings.scan_on_push is not None:
            request["imageScanningConfiguration"] = {"scanOnPush": settings.scan_on_push}
        if settings.immutable_tags is not None:
            request["imageTagMutability"] = "IMMUTABLE" if settings.immutable_tags else "MUTABLE"
        if settings.kms_key is not None:
            request["encryptionConfiguration"] = {"encryptionType": "KMS", "kmsKey": settings.kms_key}
        return request
