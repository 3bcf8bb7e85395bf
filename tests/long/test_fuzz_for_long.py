"""Every parser that reads the network, fed with many more examples than scripts/test has time for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).parents[1]
SHARE = 0.2
"""Of the minutes there are."""
EXAMPLES = 400
"""Of each property in a round; the next round begins with another seed."""
PARSERS = (
    # challenges, token answers, realms, docker configs, tokens' claims, and what errors of token services say
    *(
        "registry/auth/test_challenge.py",
        "registry/auth/test_token.py",
        "registry/auth/test_scope.py",
        "registry/auth/test_realm.py",
    ),
    *("registry/auth/test_docker_config.py", "registry/auth/test_refresh.py"),
    # heads and chunks of HTTP
    "registry/http/test_message.py",
    # Link, Location, Retry-After, dates, Warning, errors, tag lists, referrers, ranges, encodings, rate limits
    *(
        "registry/test_links.py",
        "registry/test_retry.py",
        "registry/test_headers.py",
        "registry/test_error_response.py",
    ),
    *("registry/test_tag_list.py", "registry/test_referrers_page.py", "registry/http/test_origin.py"),
    *("registry/test_content_encoding.py", "registry/test_ratelimit_headers.py", "lib/test_ssrf.py"),
    # manifests, digests, references, index.json, the memory of earlier passes
    *("oci/test_manifest.py", "oci/test_select_platforms.py", "oci/test_digest.py", "oci/test_reference.py"),
    *("layout/test_index.py", "cache/test_entries.py"),
    # what becomes of foreign text
    *("lib/test_redaction.py", "lib/test_log.py"),
)


def test_no_example_breaks_a_parser(
    span: Callable[[float], object], seed: int, tell: Callable[[str], None], tmp_path: Path
) -> None:
    files = [str(TESTS / "unit" / name) for name in PARSERS]
    files.append(str(TESTS / "integration" / "registry" / "test_any_answer.py"))
    time_left, rounds, properties = span(SHARE), 0, 0
    while not time_left.is_over() or rounds == 0:
        number = seed + rounds
        options = ["-q", "-p", "no:cacheprovider", f"--hypothesis-seed={number}", "--timeout", "900"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *files],
            cwd=TESTS.parent,
            env={
                **os.environ,
                "OCYNC_TEST_EXAMPLES": str(EXAMPLES),
                "OCYNC_TEST_ANSWERS": "300",
                "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"seed {number}:\n{done.stdout[-8000:]}{done.stderr[-2000:]}"
        passed = re.search(r"(\d+) passed", done.stdout)
        assert passed is not None
        properties, rounds = int(passed[1]), rounds + 1
        if rounds == 1:
            tell(f"fuzzing: {properties} tests, {EXAMPLES} examples of each property in a round")

    tell(f"fuzzing: {rounds} rounds of {properties} tests (seeds {seed} to {seed + rounds - 1}), nothing broke")
