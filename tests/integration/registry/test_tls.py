"""What is told of a registry whose certificate is not trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clients import repository_of
from ocync.lib.errors import NetworkError
from scripted import ScriptedRegistry
from scripted.certificates import make_authority

if TYPE_CHECKING:
    from pathlib import Path

HINT = "if its certificate authority is private, set the registry's tls.ca_file to the authority's certificate"


@pytest.mark.parametrize(
    ("hosts", "expired", "named", "hint"),
    [(["127.0.0.1"], False, False, HINT), (["127.0.0.1"], True, True, None), (["b.example"], False, True, None)],
    ids=["an unknown authority", "expired", "another name"],
)
async def test_a_certificate_is_refused_with_what_to_do_where_that_is_known(
    tmp_path: Path, hosts: list[str], expired: bool, named: bool, hint: str | None
) -> None:
    authority = make_authority(tmp_path)
    tls = authority.server_context(authority.issue("server", hosts, expired=expired))
    async with (
        ScriptedRegistry(tls=tls) as registry,
        repository_of(registry.url, attempts=1, ca_file=authority.ca_file if named else None) as repository,
    ):
        with pytest.raises(NetworkError, match="the certificate is not trusted") as caught:
            await repository.tags()

    assert caught.value.message.startswith(f"can't reach {registry.host}: ")
    assert caught.value.hint == hint
