"""The tests run once more as others run them: in their environment, with their umask, as root or not."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
_NO_PROXY_ANSWERS = "http://127.0.0.1:9"
_OTHER_USER = (
    # Where there is a user namespace, root becomes nobody in particular, and anybody becomes root.
    (
        ("unshare", "--user", "--map-user=1000", "--map-group=1000"),
        ("setpriv", "--bounding-set=-all", "--inh-caps=-all"),
    )
    if os.geteuid() == 0
    else (("unshare", "--user", "--map-root-user"),)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How a machine, and whoever uses it, may differ from others."""

    environ: Mapping[str, str] = field(default_factory=dict)
    umask: int = 0o022
    other_user: bool = False
    """Whether somebody runs the tests who is root where we are not, and is not where we are."""
    load: int = 0
    """How many other programs want a processor each."""


SHUT_IN = Machine(
    environ={
        "TERM": "dumb",
        "NO_COLOR": "1",
        "COLUMNS": "20",
        "LC_ALL": "tr_TR.ISO-8859-9",
        "TZ": "Pacific/Chatham",
        "HTTP_PROXY": _NO_PROXY_ANSWERS,
        "HTTPS_PROXY": _NO_PROXY_ANSWERS,
        "ALL_PROXY": _NO_PROXY_ANSWERS,
        "NO_PROXY": "registry.example",
        "SSL_CERT_FILE": "/nowhere/ca.pem",
        "AWS_PROFILE": "ours",
        "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/key.json",
        "OCYNC_LOG": "trace",
        "OCYNC_PUSHGATEWAY_URL": _NO_PROXY_ANSWERS,
    },
    umask=0o077,
    other_user=True,
)
COLOURFUL = Machine(
    environ={
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "FORCE_COLOR": "1",
        "COLUMNS": "300",
        "LINES": "3",
        "LANG": "nonsense",
        "TZ": "America/St_Johns",
        "CI": "true",
        "https_proxy": "nonsense://",
        "all_proxy": "socks5://127.0.0.1:9",
        "no_proxy": "*",
        "DOCKER_CONFIG": "/nowhere",
    },
    umask=0,
)
BARE = Machine(load=8)
"""Not even TERM is set, and others keep it busy."""


def run_on(machine: Machine, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run pytest there, in an order of its own; what it writes goes into the folder."""
    home = folder / "home"
    home.mkdir()
    given = {
        name: text for name, text in os.environ.items() if name in ("PATH", "PYTHONPATH", "OCYNC_TEST_EXAMPLES")
    }
    command = [
        *(_as_other_user() if machine.other_user else ()),
        *(sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "--basetemp", str(folder / "tmp")),
        *arguments,
    ]
    with _load(machine.load):
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**given, "HOME": str(home), "HYPOTHESIS_STORAGE_DIRECTORY": str(home), **machine.environ},
            umask=machine.umask,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def _as_other_user() -> tuple[str, ...]:
    for command in _OTHER_USER:
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    raise AssertionError(f"no other user can be had by {' or by '.join(command[0] for command in _OTHER_USER)}")


@contextmanager
def _load(number: int) -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()
