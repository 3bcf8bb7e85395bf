"""A layer that is larger than any memory, over TLS, from a source that breaks off now and then."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from e2e.program import Program
from long.measured import measured
from scripted import ScriptedRegistry, build, faults
from scripted.background import in_thread
from scripted.certificates import make_authority

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB, GIB = 1024**2, 1024**3
SIZE = int(float(os.environ.get("OCYNC_LONG_GIB", "20")) * GIB)
LIMIT = 128 * MIB
BLOBS, UPLOADS = r"/blobs/sha256:", r"/uploads/"


def test_a_layer_of_twenty_gibibytes_fits_into_little_memory_and_is_read_once_though_the_source_breaks(
    tmp_path: Path, tell: Callable[[str], None]
) -> None:
    authority = make_authority(tmp_path / "ca")
    layer = build.big_layer(SIZE, 1)
    breaks = [SIZE // 3, SIZE // 4]
    with (
        in_thread(ScriptedRegistry(tls=authority.server_context())) as source,
        in_thread(ScriptedRegistry(tls=authority.server_context(), discard_over=64 * 1024)) as target,
    ):
        source.seed("team/app", "giant", build.image([layer]))
        source.on("GET", str(layer.digest), respond=faults.in_turn([faults.cut(after=size) for size in breaks]))
        program = Program.within(tmp_path / "run")
        program.write(f"""
registries:
  src: {{ url: "{source.url}", tls: {{ ca_file: "{authority.ca_file}" }} }}
  dst: {{ url: "{target.url}", tls: {{ ca_file: "{authority.ca_file}" }} }}
mappings: [ {{ from: team/app, source: src, targets: dst }} ]
""")
        done = measured(program, "sync", "-c", "ocync.yaml", "-q")

        tell(f"{SIZE / GIB:g} GiB: {done.peak / MIB:.0f} MiB of memory, {done.cpu:.0f} CPU-s")
        assert done.code == 0, done.log
        # The target hashes what comes, and refuses what has another digest.
        assert target.repositories["team/app"].tags == source.repositories["team/app"].tags
        reads = source.requests.matching("GET", str(layer.digest))
        assert [read.headers.get("range") for read in reads] == [
            None,
            f"bytes={breaks[0]}-",
            f"bytes={sum(breaks)}-",
        ]
        assert sum(read.sent for read in reads) == SIZE
        assert sum(one.received for one in target.requests.matching("PUT|POST", UPLOADS)) < SIZE + MIB
        assert 20 * MIB < done.peak < LIMIT
