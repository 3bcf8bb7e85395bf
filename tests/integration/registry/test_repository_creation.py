"""Repositories that are missing at ECR are made by its API, by botocore, and then the images are pushed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clients import Side
from fakes.aws import FakeAws
from ocync.config.model import AuthType, CreateRepository, RegistryConfig
from ocync.lib.errors import ErrorKind, NetworkError
from ocync.oci.reference import Registry
from ocync.registry.auth.aws import EcrEndpoint
from ocync.registry.ecr_api import EcrRepositories
from ocync.registry.retry import RetryPolicy
from ocync.registry.upload_strategy import SMALL
from ocync.transfer.result import Status
from scripted import Basic, ScriptedRegistry, User, build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ocync.config.model import MappingConfig

POLICY = (
    '{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan",'
    ' "countNumber": 9}, "action": {"type": "expire"}}]}'
)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """A cloud that this process has access keys for."""
    with FakeAws() as fake:
        for name, value in fake.static.items():
            monkeypatch.setenv(name, value)
        yield fake


def ecr(aws: FakeAws) -> ScriptedRegistry:
    """A registry that does not make repositories by itself, with the password of the cloud."""
    registry = ScriptedRegistry(
        auth=Basic(users=(User(name="AWS", password=aws.state.password),)), create_repositories=False
    )

    class Repositories(dict[str, dict[str, object]]):
        def __setitem__(self, name: str, request: dict[str, object]) -> None:
            super().__setitem__(name, request)
            registry.repository(name)

    aws.state.repositories = Repositories()
    return registry


def mapping(side: Side, source: str, target: str, name: str, settings: CreateRepository | None) -> MappingConfig:
    """Map a repository to a registry of ECR."""
    made = side.mapping(source, target, repository=name)
    config = RegistryConfig(
        name="ecr", registry=Registry.parse(target), auth_type=AuthType.ECR, create_repository=settings
    )
    return replace(made, targets=((config, config.repository(name)),))


async def test_what_a_push_finds_missing_is_made_once_with_the_settings_of_the_config(aws: FakeAws) -> None:
    settings = CreateRepository(
        scan_on_push=True,
        immutable_tags=True,
        kms_key="alias/mirror",
        tags={"team": "platform"},
        lifecycle_policy=POLICY,
    )
    async with ScriptedRegistry() as source, ecr(aws) as target, Side(environ=ENVIRON) as side:
        for tag in ("1", "2", "3"):
            source.seed("team/app", tag, build.image(label=tag))
        source.seed("team/other", "1", build.image())
        work = [mapping(side, source.url, target.url, name, settings) for name in ("team/app", "team/other")]
        results = await side.sync(*work)

        assert {result.status for result in results.values()} == {Status.SYNCED}
        assert target.content_of("team/app", "3") == source.content_of("team/app", "3")

    assert sorted(aws.state.created) == ["team/app", "team/other"]
    assert aws.state.repositories["team/app"] == {
        "repositoryName": "team/app",
        "imageScanningConfiguration": {"scanOnPush": True},
        "imageTagMutability": "IMMUTABLE",
        "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "alias/mirror"},
        "tags": [{"Key": "team", "Value": "platform"}],
    }
    assert aws.state.policies == {"team/app": POLICY, "team/other": POLICY}


async def test_large_blobs_that_go_by_one_post_find_it_missing_and_are_sent_once_more(aws: FakeAws) -> None:
    async with ScriptedRegistry() as source, ecr(aws) as target, Side(environ=ENVIRON) as side:
        target.repository("team/first")
        for name in ("team/first", "team/second"):
            layers = [build.layer(3 * SMALL, seed=number) for number in range(3)]
            source.seed(name, "1", build.image(layers, label=name))
        for name in ("team/first", "team/second"):
            results = await side.sync(mapping(side, source.url, target.url, name, CreateRepository()))
            assert {result.status for result in results.values()} == {Status.SYNCED}

        assert target.content_of("team/second", "1") == source.content_of("team/second", "1")
        streamed = [r for r in target.requests if r.method == "POST" and r.status == 404 and r.received > SMALL]
    assert aws.state.created == ["team/second"]
    assert streamed


async def test_settings_that_are_not_given_are_left_to_ecr(aws: FakeAws) -> None:
    async with ScriptedRegistry() as source, ecr(aws) as target, Side(environ=ENVIRON) as side:
        source.seed("team/app", "1", build.image())
        await side.sync(mapping(side, source.url, target.url, "team/app", CreateRepository()))

    assert aws.state.repositories == {"team/app": {"repositoryName": "team/app"}}
    assert aws.state.policies == {}


async def test_a_repository_that_another_has_made_in_the_meantime_is_used_as_it_is(aws: FakeAws) -> None:
    async with ScriptedRegistry() as source, ecr(aws) as target, Side(environ=ENVIRON) as side:
        source.seed("team/app", "1", build.image())
        create = aws._create  # type: ignore[attr-defined]

        def made_by_another(request: dict[str, str]) -> object:
            aws.state.repositories[request["repositoryName"]] = {"by": "another"}
            return create(request)

        aws._create = made_by_another  # type: ignore[method-assign, assignment]
        settings = CreateRepository(lifecycle_policy=POLICY)
        results = await side.sync(mapping(side, source.url, target.url, "team/app", settings))

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert aws.state.policies == {}


async def test_at_ecr_public_only_the_tags_are_asked_for(aws: FakeAws) -> None:
    host = EcrEndpoint(host="public.ecr.aws", region="us-east-1", public=True)
    settings = CreateRepository(scan_on_push=True, kms_key="k", tags={"a": "b"}, lifecycle_policy=POLICY)

    await EcrRepositories(host, settings, RetryPolicy()).create("alias/app")

    [asked] = aws.asked
    assert asked.headers["x-amz-target"] == "SpencerFrontendService.CreateRepository"
    assert asked.json == {"repositoryName": "alias/app", "tags": [{"Key": "a", "Value": "b"}]}


async def test_without_the_setting_a_missing_repository_is_an_error_that_says_so(aws: FakeAws) -> None:
    async with ScriptedRegistry() as source, ecr(aws) as target, Side(environ=ENVIRON) as side:
        source.seed("team/app", "1", build.image())
        [result] = (await side.sync(mapping(side, source.url, target.url, "team/app", None))).values()

    assert result.error is not None
    assert result.error.kind is ErrorKind.NOT_FOUND
    assert "does not exist" in str(result.error.hint or result.error.message)
    assert aws.state.created == []


async def test_who_may_not_make_repositories_is_told_what_aws_said_after_one_try(aws: FakeAws) -> None:
    aws.state.denied["CreateRepository"] = "AccessDeniedException"
    async with ScriptedRegistry() as source, ecr(aws) as target, Side(environ=ENVIRON) as side:
        for tag in ("1", "2", "3"):
            source.seed("team/app", tag, build.image(label=tag))
        results = await side.sync(mapping(side, source.url, target.url, "team/app", CreateRepository()))

    errors = {result.error.message for result in results.values() if result.error}
    assert len(results) == 3
    assert len(errors) == 1
    assert "can't make the repository team/app" in errors.pop()
    assert {result.error.kind for result in results.values() if result.error} == {ErrorKind.AUTH}
    assert sum("CreateRepository" in asked.headers.get("x-amz-target", "") for asked in aws.asked) == 1


async def test_a_policy_that_can_not_be_set_is_said_and_stops_no_image(
    aws: FakeAws, caplog: pytest.LogCaptureFixture
) -> None:
    aws.state.denied["PutLifecyclePolicy"] = "AccessDeniedException"
    async with ScriptedRegistry() as source, ecr(aws) as target, Side(environ=ENVIRON) as side:
        source.seed("team/app", "1", build.image())
        settings = CreateRepository(lifecycle_policy=POLICY)
        results = await side.sync(mapping(side, source.url, target.url, "team/app", settings))

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert "can't set the lifecycle policy of team/app" in caplog.text


@pytest.mark.parametrize("operation", ["CreateRepository", "PutLifecyclePolicy"])
async def test_what_fails_for_a_moment_is_tried_again_by_the_policy_of_the_program(
    operation: str, aws: FakeAws
) -> None:
    aws.state.failures[operation] = 2
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    host = EcrEndpoint(host="ecr.example", region="eu-central-1")
    settings = CreateRepository(lifecycle_policy=POLICY)
    await EcrRepositories(host, settings, RetryPolicy(sleep=sleep)).create("team/app")

    assert len(waits) == 2
    assert aws.state.policies == {"team/app": POLICY}


ENVIRON = {"AWS_REGION": "eu-west-1"}


async def test_credentials_that_never_come_do_not_hold_the_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = f"sh -c 'sleep 3; echo > {tmp_path}/came'"
    (tmp_path / "config").write_text(f"[profile slow]\ncredential_process = {process}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    host = EcrEndpoint(host="ecr.example", region="eu-central-1", profile="slow")

    with pytest.raises(NetworkError, match=r"ecr\.example/team/app: the repository was not made within 0\.5 s"):
        await EcrRepositories(host, CreateRepository(), RetryPolicy(give_up_after=0.5)).create("team/app")

    assert not (tmp_path / "came").exists()
