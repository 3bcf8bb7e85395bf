"""How much memory a pass takes, whatever the size of what it carries."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from e2e.program import BIN
from scripted import ScriptedRegistry, build
from scripted.background import in_thread

if TYPE_CHECKING:
    from e2e.program import Program

MIB = 1024 * 1024
LIMIT = 128 * MIB
# A process counts the memory of the one that started it as its own peak (getrusage(2), after a fork), so this small
# one starts it, and not the tests.
LAUNCHER = """
import json, os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "peak": usage.ru_maxrss * 1024}))
"""


@pytest.mark.timeout(300)
def test_a_cold_pass_with_a_layer_of_a_gibibyte_fits_into_little_memory(program: Program) -> None:
    giant = build.image([build.big_layer(1024 * MIB, 1)])
    with (
        in_thread(ScriptedRegistry()) as source,
        in_thread(ScriptedRegistry(discard_over=64 * 1024)) as target,
    ):
        source.seed("team/app", "giant", giant)
        for number in range(60):
            source.seed("team/app", f"1.{number}", build.image([build.big_layer(MIB, number + 2)]))
        program.write(f"""
registries: {{ src: {{ url: "{source.url}" }}, dst: {{ url: "{target.url}" }} }}
mappings: [ {{ from: team/app, source: src, targets: dst }} ]
""")
        command = [sys.executable, "-c", LAUNCHER, str(BIN / "ocync"), "sync", "-c", "ocync.yaml", "-q"]
        done = subprocess.run(
            command,
            cwd=program.folder,
            # What measures coverage takes memory too.
            env={name: value for name, value in program.environ.items() if not name.startswith("COVERAGE")},
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
        )

        measured = json.loads(done.stdout)
        assert measured["code"] == 0, done.stderr
        assert target.repositories["team/app"].tags == source.repositories["team/app"].tags
        assert 20 * MIB < measured["peak"] < LIMIT
