"""What the cluster talks to: two registries and a Pushgateway, on an address of this machine that pods reach."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import shutil
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from cluster.kubernetes import eventually
from scripted import Bearer, ScriptedRegistry, User
from scripted.record import fingerprint
from scripted.tokens import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PULLER = "pull-token"
PROJECT = ("myorg/static", "myorg/python", "myorg/ocync-state")


@dataclass(slots=True, kw_only=True)
class Outside:
    """The servers, and the credentials that they accept now."""

    address: str
    """The one of this machine that pods reach."""
    source: ScriptedRegistry
    target: ScriptedRegistry
    pushgateway: str
    """`http://address:port`"""
    password: str
    github_token: str

    def rotate(self) -> str:
        """Let the source accept a new password alone; return it."""
        self.accept_only(secrets.token_urlsafe(16))
        return self.password

    def accept_also(self, password: str) -> None:
        """Let the source accept another password beside those that it does: the first half of a rotation."""
        assert isinstance(self.source.auth, Bearer)
        self.source.auth.users = (*self.source.auth.users, User(name=PULLER, password=password))

    def accept_only(self, password: str) -> None:
        """Let the source accept this password alone, and no token that another one has bought."""
        assert isinstance(self.source.auth, Bearer)
        self.password = password
        self.source.auth.users = (User(name=PULLER, password=password),)
        self.source.auth.tokens.revoke_all()

    @property
    def basic(self) -> str:
        """The pull token as a docker config has it."""
        return base64.b64encode(f"{PULLER}:{self.password}".encode()).decode()

    def asked_with_other_passwords(self, since: int) -> int:
        """Count the token requests after the one of that number that came with another password than today's."""
        _, today = fingerprint(f"Basic {self.basic}")
        asked = self.source.requests.matching("GET|POST", r"^/token")
        return sum(request.fingerprint != today for request in asked if request.number > since)

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Scrape the Pushgateway: sample name and labels to value, for the samples of ocync."""
        with urlopen(f"{self.pushgateway}/metrics", timeout=5) as answer:  # a loopback or bridge address of ours
            families = text_string_to_metric_families(answer.read().decode())
            samples = [sample for family in families for sample in family.samples]
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for sample in samples
            if sample.labels.get("job") == "ocync"
        }


@asynccontextmanager
async def outside(address: str, folder: Path) -> AsyncIterator[Outside]:
    """Start the servers; they end with the context."""
    password = secrets.token_urlsafe(16)
    guard = Bearer(users=(User(name=PULLER, password=password),))
    owner = User(name="myorg", password=secrets.token_urlsafe(16))
    door = Bearer(users=(owner,), anonymous=None)
    scopes = [Scope(name, frozenset({"pull", "push"})) for name in PROJECT]
    # `watch` is off: a violation is a finding of the scenarios, to be told there.
    async with (
        ScriptedRegistry(auth=guard, bind=address, folder=folder) as source,
        ScriptedRegistry(auth=door, bind=address, folder=folder, watch=False) as target,
        pushgateway(address) as url,
    ):
        token = door.tokens.mint(owner, scopes, lifetime=24 * 3600)
        yield Outside(
            address=address, source=source, target=target, pushgateway=url, password=password, github_token=token
        )


@asynccontextmanager
async def pushgateway(address: str) -> AsyncIterator[str]:
    """Run the real Pushgateway on a free port of the address; gives its URL."""
    program = shutil.which("prometheus-pushgateway")
    assert program is not None, "prometheus-pushgateway is not installed: apt-get install prometheus-pushgateway"
    port = free_port(address)
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        program, f"--web.listen-address={address}:{port}", stdout=null, stderr=null
    )
    try:

        async def answers() -> bool:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(address, port)
                writer.close()
                return True
            return False

        await eventually("the Pushgateway to listen", answers, within=10)
        yield f"http://{address}:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def free_port(address: str) -> int:
    """Return a free port of the address; raises OSError if the address is not one of this machine's."""
    with socket.create_server((address, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
