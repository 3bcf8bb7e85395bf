"""Making repositories at ECR, private and public (ECR API, CreateRepository and PutLifecyclePolicy)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ocync.auth import aws
from ocync.auth.away import away
from ocync.errors import NetworkError, RegistryError

if TYPE_CHECKING:
    from ocync.auth.aws import EcrPlace
    from ocync.config.model import CreateRepository

log = logging.getLogger(__name__)

CREATION_SECONDS = 90.0
"""Seconds that making a repository may take, all attempts and what the credentials take included."""


class EcrRepositories:
    """Makes repositories of one registry as the config wants them."""

    def __init__(self, place: EcrPlace, settings: CreateRepository) -> None:
        self._place = place
        self._settings = settings

    async def create(self, repository: str) -> None:
        """Make a repository; one that is there already is left as it is. Raises errors of `ocync.errors`."""
        where = f"{self._place.host}/{repository}"
        try:
            async with asyncio.timeout(CREATION_SECONDS):
                made = await away(lambda: self._create(repository), name="botocore")
        except TimeoutError:
            raise NetworkError(
                f"{where}: the repository was not made within {CREATION_SECONDS:g} s", host=self._place.host
            ) from None
        if made:
            log.info("made the repository %s, which was missing", where)
        else:
            log.debug("the repository %s was made by another client", where)

    def _create(self, repository: str) -> bool:
        with aws.translated(self._place, f"make the repository {repository}"):
            api, _ = aws.client(self._place)
            try:
                api.create_repository(**self._request(repository))
            except api.exceptions.RepositoryAlreadyExistsException:
                return False
        if self._settings.lifecycle_policy is not None and not self._place.public:
            self._set_lifecycle(api, repository, self._settings.lifecycle_policy)
        return True

    def _set_lifecycle(self, api: Any, repository: str, policy: str) -> None:
        try:
            with aws.translated(self._place, f"set the lifecycle policy of {repository}"):
                api.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=policy)
        except RegistryError as error:
            # The images are wanted more than the policy, which nobody would set later: the repository is there now.
            log.warning(
                "%s; the repository is there without it: set it with aws ecr put-lifecycle-policy", error.message
            )

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
