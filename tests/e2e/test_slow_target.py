"""Two targets, one of which is slow: the settings for disk space reach the transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripted import ScriptedRegistry, build, faults
from scripted.background import in_thread

if TYPE_CHECKING:
    from e2e.program import Program

MIB = 1024 * 1024


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("setting", "reads"),
    [("", 1), ("staging_size_limit: 1MiB", 2), ("staging_size_limit: 0", 2)],
    ids=["room", "too little room", "no room"],
)
def test_a_slow_target_takes_what_it_lacks_from_disk_or_from_the_source(
    program: Program, setting: str, reads: int
) -> None:
    layer = build.big_layer(48 * MIB, 1)
    with (
        in_thread(ScriptedRegistry()) as source,
        in_thread(ScriptedRegistry(discard_over=64 * 1024)) as slow,
        in_thread(ScriptedRegistry(discard_over=64 * 1024)) as fast,
    ):
        source.seed("team/app", "1", build.image([layer]))
        slow.on("PUT|POST", r"/uploads/", respond=faults.drip_upload(7 * MIB))
        program.write(f"""
global: {{ cache_dir: ./cache, {setting} }}
registries: {{ src: {{ url: "{source.url}" }}, slow: {{ url: "{slow.url}" }}, fast: {{ url: "{fast.url}" }} }}
mappings: [ {{ from: team/app, source: src, targets: [slow, fast] }} ]
""")
        done = program("sync", "-c", "ocync.yaml")

        assert done.code == 0, done
        for target in (slow, fast):
            assert target.repositories["team/app"].tags == source.repositories["team/app"].tags
        got = source.requests.matching("GET", str(layer.digest))
        assert len(got) == reads
        assert (sum(request.sent for request in got) == 48 * MIB) == (reads == 1)
        # The faster one did not wait for the slower one to the end.
        uploads = [
            [request for request in target.requests.matching("PUT|POST", r"/uploads/") if request.received > MIB]
            for target in (slow, fast)
        ]
        assert [[request.received for request in each] for each in uploads] == [[48 * MIB]] * 2
        took = [(each[0].finished or 0) - each[0].started for each in uploads]
        assert took[1] < took[0] - 0.5
        assert not list((program.folder / "cache" / "tmp").glob("*"))
