"""The values of the documentation with nothing changed in them, and the identity that needs no secret."""

from __future__ import annotations

import base64
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from cluster.jobs import Release
from cluster.outside import PROJECT, PULLER
from cluster.stage import SECRET, assert_complete, one_line
from e2e.internet import Internet
from fakes.azure import jwt
from fakes.chainguard import IDENTITY
from fakes.service import Answer, FakeService
from scripted import Bearer, ScriptedRegistry, User, build
from scripted.certificates import make_authority
from scripted.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.kubernetes import Document
    from cluster.stage import Stage
    from fakes.service import Asked

AUTHORITY = "own-ca"
AUDIENCE = "issuer.enforce.dev"


@dataclass(slots=True, kw_only=True)
class World:
    """cgr.dev, issuer.enforce.dev and ghcr.io as pods see them: by a proxy, with certificates of our authority."""

    chainguard: ScriptedRegistry
    github: ScriptedRegistry
    token: str
    proxy: str
    projected: list[str] = field(default_factory=list)
    """The tokens with which an identity was assumed."""

    def values(self, stage: Stage, fixture: str) -> Document:
        """Return values as they stand in the chart's folder, with what leads to these hosts beside them."""
        values: Document = yaml.safe_load((stage.chart / "ci" / fixture).read_text(encoding="utf-8"))
        own: Document = stage.suspended("envfrom")
        volume = {"name": "own-ca", "secret": {"secretName": AUTHORITY}}
        mount = {"name": "own-ca", "mountPath": "/etc/own-ca", "readOnly": True}
        return values | {
            "image": own["image"],
            "cronjob": own["cronjob"],
            "env": [
                {"name": "HTTPS_PROXY", "value": self.proxy},
                {"name": "SSL_CERT_FILE", "value": "/etc/own-ca/ca.pem"},
            ],
            "extraVolumes": [*values.get("extraVolumes", []), volume],
            "extraVolumeMounts": [*values.get("extraVolumeMounts", []), mount],
        }


@asynccontextmanager
async def world(stage: Stage) -> AsyncIterator[World]:
    """Let the hosts of the documentation exist, for pods that use the proxy."""
    authority = make_authority(stage.folder / "authority")
    await stage.namespace.put_secret(AUTHORITY, f"--from-file=ca.pem={authority.ca_file}")
    tls = {
        host: authority.server_context(authority.issue(host, [host])) for host in ("cgr.dev", "ghcr.io", AUDIENCE)
    }
    puller = Bearer(users=(User(name=PULLER, password=stage.outside.password),))
    owner = User(name="myorg", password="unused")
    door = Bearer(users=(owner,), anonymous=None)
    projected: list[str] = []

    def assume(asked: Asked) -> Answer:
        assert (asked.method, asked.path) == ("POST", "/sts/exchange"), asked
        assert asked.query == {"aud": "cgr.dev", "identity": IDENTITY}
        projected.append(asked.headers["authorization"].removeprefix("Bearer "))
        now = int(time.time())
        given = jwt({"iat": now, "exp": now + 3600, "sub": IDENTITY, "jti": len(projected)})
        puller.users = (*puller.users, User(name="_token", password=given))
        return Answer(200, {"token": given, "refresh_token": ""})

    with FakeService(assume, tls=tls[AUDIENCE]) as issuer:
        async with (
            ScriptedRegistry(auth=puller, tls=tls["cgr.dev"]) as chainguard,
            ScriptedRegistry(auth=door, tls=tls["ghcr.io"]) as github,
        ):
            for tag, seed in {"latest": 1, "1.0": 2}.items():
                chainguard.seed("chainguard/static", tag, build.multi_arch(seed=seed))
            hosts = {"cgr.dev": chainguard.host, "ghcr.io": github.host, AUDIENCE: issuer.host}
            internet = Internet(hosts, bind=stage.outside.address)
            await internet.start()
            try:
                scopes = [Scope(name, frozenset({"pull", "push"})) for name in (*PROJECT, "chainguard/static")]
                yield World(
                    chainguard=chainguard,
                    github=github,
                    token=door.tokens.mint(owner, scopes, lifetime=3600),
                    proxy=internet.url,
                    projected=projected,
                )
                internet.check()
            finally:
                await internet.stop()


async def verbatim(stage: Stage) -> str:
    """The page's values run with not a letter changed in their configuration: TLS, by a proxy, to its own hosts."""
    release = Release(name="verbatim", namespace=stage.namespace)
    async with world(stage) as there:
        await stage.put_secret(stage.outside.password, github_token=there.token)
        await stage.namespace.install(release.name, stage.chart, there.values(stage, "page-envfrom-values.yaml"))
        try:
            run = await release.ended(await release.start("verbatim"))
            assert_complete(run)
        finally:
            await stage.namespace.uninstall(release.name)
            await stage.put_secret(stage.outside.password)
        assert_same(there, "myorg/static")
    return one_line(run.message)


async def identified(stage: Stage) -> str:
    """A Chainguard identity is assumed with the token that the kubelet projects and the API server vouches for."""
    release = Release(name="identified", namespace=stage.namespace)
    async with world(stage) as there:
        await stage.put_secret(stage.outside.password, github_token=there.token)
        values = there.values(stage, "chainguard-identity-values.yaml")
        # ECR is a cloud away: its place takes the page's target.
        values["config"]["registries"]["dst"] = {
            "url": "ghcr.io", "auth_type": "static_token", "token": "${GITHUB_TOKEN}"
        }  # fmt: skip
        values["envFrom"] = [{"secretRef": {"name": SECRET}}]
        await stage.namespace.install(release.name, stage.chart, values)
        try:
            run = await release.ended(await release.start("identified"))
            assert_complete(run)
            assert len(there.projected) == 1
            claims = claims_of(there.projected[0])
            assert claims["aud"] == [AUDIENCE], claims
            review = await reviewed(stage, there.projected[0])
            account = f"system:serviceaccount:{stage.namespace.name}:identified-ocync"
            assert review["user"]["username"] == account, review
            (pod,) = await release.pods("identified")
            assert pod["spec"]["automountServiceAccountToken"] is False
        finally:
            await stage.namespace.uninstall(release.name)
            await stage.put_secret(stage.outside.password)
        assert_same(there, "chainguard/static")
    return f"as {account}, for {AUDIENCE}"


async def remembered(stage: Stage) -> str:
    """What one pod has learned is known to the next by `global.state.artifact`: a mount brings what it knows of."""
    release = Release(name="remembered", namespace=stage.namespace)
    source, target = stage.outside.source, stage.outside.target
    stage.seed("chainguard/static", "6.0", 60)
    values = stage.suspended("envfrom")
    values["config"]["global"] = {"state": {"artifact": "ghcr/myorg/ocync-state"}}
    await stage.namespace.install(release.name, stage.chart, values)
    try:
        assert_complete(await release.ended(await release.start("learning")))
        assert "ocync-state" in target.repository("myorg/ocync-state").tags
        # The same content under another name: that it is there already stands nowhere but in what was learned.
        source.seed("chainguard/python", "6.0", stage.made(60))
        values["config"]["mappings"] = [{"from": "chainguard/python", "to": "myorg/python"}]
        await stage.namespace.install(release.name, stage.chart, values)
        asked = len(source.requests)
        run = await release.ended(await release.start("knowing"))
        assert_complete(run)
        read = [each for each in source.requests.matching("GET", r"/blobs/") if each.number > asked]
        assert not read, f"{len(read)} blobs were read from the source"
    finally:
        await stage.namespace.uninstall(release.name)
    assert target.content_of("myorg/python", "6.0") == source.content_of("chainguard/python", "6.0")
    return one_line(run.message)


async def reviewed(stage: Stage, token: str) -> Document:
    """Return what the API server says of a token, as an issuer that trusts the cluster would find it."""
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [AUDIENCE]},
    }
    text = await stage.namespace.run("create", "--output=json", "--filename=-", given=json.dumps(review))
    status: Document = json.loads(text)["status"]
    assert status.get("authenticated"), status
    return status


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token says of itself."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def assert_same(there: World, target: str) -> None:
    """Check that all tags are there, with all that is below them."""
    for tag in ("latest", "1.0"):
        copied = there.github.content_of(target, tag)
        assert copied == there.chainguard.content_of("chainguard/static", tag) != {}, f"{target}:{tag}"


ALL = (verbatim, identified, remembered)
