"""What is read of the manifests below images, and how often."""

from __future__ import annotations

from memory import Place, put_image
from ocync.oci.manifest import Descriptor
from ocync.transfer.claims import Claims
from ocync.transfer.destination import Destination
from ocync.transfer.tree import ManifestReader


async def test_what_a_target_holds_is_read_once_until_it_is_lost() -> None:
    target = Place("a")
    repository, claims, reader = target.repository("app"), Claims("a"), ManifestReader()
    destination = Destination(repository=repository, claims=claims)
    child = put_image(repository, "t", b"layer")

    # Images that list the same child need not come at the same time.
    assert [await reader.at_target(child.digest, destination) for _ in range(3)] == [child] * 3
    assert target.count("manifest") == 1
    claims.manifest_seen(repository, child.digest)
    claims.lost(repository, child.digest)
    assert await reader.at_target(child.digest, destination) is None


async def test_what_a_source_has_is_read_once_for_all_targets() -> None:
    source = Place("source")
    origin, reader = source.repository("app"), ManifestReader()
    child = put_image(origin, "t", b"layer")
    below = Descriptor(media_type=child.media_type, digest=child.digest, size=child.size)

    for name in ("a", "b"):
        destination = Destination(repository=Place(name).repository("app"), claims=Claims(name))
        assert await reader.at_target(child.digest, destination) is None
        assert await reader.at_source(below, origin, destination) == child

    assert source.count("manifest") == 1
