"""Bytes by chance in the place of an answer: whatever comes, a repository raises our own errors, in time."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from clients import IDLE, Side, descriptor, manifest_of, read, write
from ocync.lib.errors import ErrorKind, OcyncError
from ocync.oci.digest import Digest
from scripted import ScriptedRegistry, build, faults, media

if TYPE_CHECKING:
    from ocync.registry.repository import RegistryRepository

SEEDS = range(int(os.environ.get("OCYNC_TEST_ANSWERS", "25")))
"""The variable makes it more of them."""
IMAGE = build.image()
LENGTHS = (b"0", b"5", b"-1", b"+5", b"5, 5", b"5, 6", b"99999999999999999999", b"0x10", b"", b"five", b" 5 ")
TYPES = (media.OCI_MANIFEST, media.OCI_INDEX, "application/json", "text/html", "text/plain; charset=x", "\xff")
BODIES = (b"", b"{}", b"null", b"[]", b'{"tags": ["1"]}', b'{"token": "x"}', b"<html>", b"5\r\nhello\r\n0\r\n\r\n")
FIELDS = (
    *(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Content-Encoding: gzip",
        b"Content-Encoding: br",
    ),
    *(b"Location: //", b"Location: /v2/", b"Location: http://[", b"Connection: close", b"Connection: upgrade"),
    *(b'WWW-Authenticate: Bearer realm="/token"', b"WWW-Authenticate: \xff\xfe", b"Retry-After: 99999", b"Link: <"),
    *(b'Warning: 299 - "\\', b"Docker-Content-Digest: sha256:zz", b"Range: 0-0", b"Content-Range: bytes */*"),
    *(b"Date: never", b"no colon", b" folded", b"Empty:", b": nameless", b"\x00: x", b"RateLimit-Remaining: NaN"),
)


def any_answer(chance: random.Random) -> bytes:
    """Make what looks more or less like an answer of HTTP."""
    version = chance.choice([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"ICY", b""])
    status = chance.choice([b"200", b"201", b"202", b"204", b"206", b"301", b"307", b"401", b"403", b"404"])
    status = chance.choice([status, status, b"416", b"429", b"500", b"100", b"101", b"999", b"-1", b"\xff"])
    lines = [b"%b %b %b" % (version, status, chance.choice([b"OK", b"", b"\x1b[31m"]))]
    lines += chance.sample(FIELDS, chance.randint(0, 4))
    if chance.random() < 0.6:
        lines.append(b"Content-Length: " + chance.choice(LENGTHS))
    if chance.random() < 0.6:
        lines.append(b"Content-Type: " + chance.choice(TYPES).encode("latin-1"))
    chance.shuffle(rest := lines[1:])
    end = chance.choice([b"\r\n", b"\r\n", b"\n"])
    raw = bytearray(end.join([lines[0], *rest, b"", chance.choice(BODIES)]))
    for _ in range(chance.choice([0, 0, 0, 1, 5])):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw[: chance.choice([len(raw), len(raw), chance.randrange(len(raw) + 1)])])


async def everything(repository: RegistryRepository) -> list[OcyncError]:
    """Do all that is done with a repository, and return what was raised."""
    raised = []
    subject = Digest.parse(IMAGE.digest)
    for call in (
        repository.tags,
        repository.first_tags,
        lambda: repository.head("1"),
        lambda: repository.manifest("1"),
        lambda: repository.manifest(IMAGE.digest),
        lambda: repository.referrers(subject),
        lambda: repository.has_blob(descriptor(b"bytes")),
        lambda: read(repository, descriptor(b"bytes")),
        lambda: write(repository, b"some bytes"),
        lambda: repository.put_manifest(manifest_of(IMAGE), tag="2"),
    ):
        try:
            await call()
        except OcyncError as error:
            raised.append(error)
    return raised


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_answer_makes_anything_fail_otherwise_than_it_should(seed: int) -> None:
    chance = random.Random(seed)
    async with ScriptedRegistry(watch=False) as registry, Side(attempts=1, idle=IDLE) as side:
        registry.seed("team/app", "1", IMAGE)

        async def answer(request: object, proceed: object) -> object:
            return await faults.raw(any_answer(chance))(request, proceed)  # type: ignore[arg-type]

        registry.on("*", "^/v2/team", respond=answer, every=chance.choice([1, 1, 2]))  # type: ignore[arg-type]
        raised = await everything(side.repository(registry.url))

    assert ErrorKind.INTERNAL not in {error.kind for error in raised}
    for error in raised:
        assert error.message.isprintable(), error.message
        assert len(error.message) < 1500
