from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from unit.config.conftest import Load

BASE = (
    "registries: {a: {url: a.b%s}, c: {url: c.d}}\ndefaults: {source: a, targets: c%s}\nmappings: [{from: x%s}]\n%s"
)


@pytest.mark.parametrize(
    ("registry", "defaults", "mapping", "rest", "unused"),
    [
        ("", "", "", "", ()),
        ("", "", "", "global: {cache_dir: null, deadline: 5m}", ()),
        ("", "", "", "global: {cache_dir: /c, cache_ttl: 0}", ()),
        ("", "", "", "global: {staging_size_limit: 0}", ("global.staging_size_limit",)),
        (", head_first: true", "", "", "", ()),
        (", auth_type: ecr, aws_profile: p", "", "", "", ()),
        ("", ", artifacts: {enabled: true}", "", "", ()),
        ("", ", artifacts: {include: [a/b]}", ", artifacts: {require_artifacts: true}", "", ()),
    ],
)
def test_keys_that_do_nothing_yet_are_known(
    registry: str, defaults: str, mapping: str, rest: str, unused: tuple[str, ...], read: Load
) -> None:
    assert read(BASE % (registry, defaults, mapping, rest)).unused == unused
