"""Which limit a request counts for."""

from __future__ import annotations

import pytest

from ocync.registry.limits.kinds import Kind, kind_of

DIGEST = "sha256:" + "0" * 64
REQUESTS = [
    ("GET", "/v2/a/b/manifests/latest", Kind.METADATA),
    ("HEAD", f"/v2/a/b/manifests/{DIGEST}", Kind.METADATA),
    ("GET", "https://r.io/v2/a/b/tags/list?n=1000", Kind.METADATA),
    ("GET", f"/v2/a/b/referrers/{DIGEST}", Kind.METADATA),
    ("HEAD", f"/v2/a/b/blobs/{DIGEST}", Kind.METADATA),
    ("GET", f"/v2/a/b/blobs/{DIGEST}", Kind.BLOB),
    ("POST", "/v2/a/b/blobs/uploads/", Kind.UPLOAD),
    ("POST", f"/v2/a/b/blobs/uploads/?mount={DIGEST}&from=c/d", Kind.UPLOAD),
    ("PATCH", "https://r.io/v2/a/b/blobs/uploads/1?_state=x", Kind.UPLOAD),
    ("PUT", f"https://r.io/artifacts-uploads/namespaces/n/{'x' * 100}?digest={DIGEST}", Kind.UPLOAD),
    ("DELETE", "https://r.io/v2/a/b/blobs/uploads/1", Kind.UPLOAD),
    ("PUT", "/v2/a/b/manifests/1.0", Kind.MANIFEST),
    ("PUT", f"/v2/a/b/manifests/{DIGEST}", Kind.MANIFEST),
    ("GET", f"/v2/blobs/manifests/{DIGEST}", Kind.METADATA),
    ("PUT", "https://r.io/v2/manifests/blobs/uploads/1", Kind.UPLOAD),
]


@pytest.mark.parametrize(("method", "path", "kind"), REQUESTS)
def test_a_request_counts_for_the_kind_of_what_it_asks_for(method: str, path: str, kind: Kind) -> None:
    assert kind_of(method, path) is kind
