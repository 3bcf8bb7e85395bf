"""A process that is killed again and again, at moments by chance."""

from __future__ import annotations

import random
import signal
from collections import Counter
from typing import TYPE_CHECKING

from e2e import corpus
from e2e.accounts import PULLER, PUSHER
from e2e.mirror import REQUESTS, SYNC, Mirror
from e2e.program import Program
from scripted import Basic, Bearer, ScriptedRegistry
from scripted.background import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHARE = 0.15
"""Of the minutes there are."""
KILLS = 5
"""In each mirror, before the pass that completes it."""


def test_killed_at_any_moment_nothing_is_wrong_and_one_more_pass_completes_it(
    span: Callable[[float], object], seed: int, tell: Callable[[str], None], tmp_path: Path
) -> None:
    time_left, chance, codes, mirrors = span(SHARE), random.Random(seed), Counter[int](), 0
    while not time_left.is_over() or mirrors == 0:
        with (
            in_thread(ScriptedRegistry(auth=Bearer(users=(PULLER,)))) as source,
            in_thread(ScriptedRegistry(auth=Basic(users=(PUSHER,)))) as target,
        ):
            corpus.seed(source)
            mirror = Mirror.of(Program.within(tmp_path / str(mirrors)), source, target)
            for _ in range(KILLS):
                number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
                at = chance.randint(1, REQUESTS)
                codes[mirror.killed(number, at=at)] += 1
                mirror.assert_sound()
            assert mirror.program(*SYNC).code == 0, f"mirror {mirrors} of seed {seed}"
            mirror.assert_equal()
        mirrors += 1

    assert set(codes) <= {0, 5, -signal.SIGKILL}
    tell(f"kills: {mirrors} mirrors (seed {seed}), exit codes {dict(codes)}, all whole at every moment")
