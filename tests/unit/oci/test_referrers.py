"""Lists of referrers, as far as they are made here."""

from __future__ import annotations

from typing import Any

import pytest

from ocync.lib.errors import ProtocolError
from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import MAX_CHILDREN
from ocync.oci.referrers import merged


def entries(count: int, **fields: Any) -> list[dict[str, Any]]:
    digests = [str(Digest.of(b"%d" % number)) for number in range(count)]
    return [{"mediaType": media.OCI_MANIFEST, "digest": digest, "size": 7, **fields} for digest in digests]


def test_no_list_is_made_that_would_not_be_read() -> None:
    assert len(merged(None, entries(MAX_CHILDREN)).children) == MAX_CHILDREN

    with pytest.raises(ProtocolError, match="a list of referrers can't be read: manifests lists 2001 entries"):
        merged(merged(None, entries(MAX_CHILDREN)), entries(MAX_CHILDREN + 1))
    with pytest.raises(ProtocolError, match="artifactType has 256 characters, more than 255"):
        merged(None, entries(1, artifactType="x" * 256))
