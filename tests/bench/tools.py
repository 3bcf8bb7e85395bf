"""
The tools, each as its own documents advise to mirror a registry, with as much at once as the others.

Those without a command for whole registries are run in a shell's loop of eight processes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.corpus import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PARALLEL = 8
_VERSION = re.compile(r"v?(\d+\.\d+\.\d+\S*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be mirrored."""

    source: str
    """`host:port`, as the others."""
    targets: Sequence[str]
    repositories: Sequence[str]
    newest: tuple[str, ...] = ()
    """The newest tags in order, where only they are wanted."""
    tokens: bool = False
    """Whether the source gives tokens for one repository each."""
    folder: Path
    """A folder of this tool's own: configuration, and what it remembers from pass to pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool on this machine."""

    name: str
    binary: str
    version: str
    command: Callable[[str, Job], list[str]]
    configured: bool
    """Whether it takes a file that tells of many repositories and targets, and needs no shell's loop."""
    remembers: bool = False
    """Whether it keeps something in its folder for the next pass."""


def found(wanted: Sequence[str], environ: Mapping[str, str]) -> list[Tool]:
    """Return those of the wanted tools that are on this machine, ocync always first."""
    tools = [_found(name, environ) for name in dict.fromkeys(("ocync", *wanted))]
    return [tool for tool in tools if tool is not None]


def _found(name: str, environ: Mapping[str, str]) -> Tool | None:
    variable = f"BENCH_{name.upper().replace('-', '_')}"
    beside = Path(sys.executable).with_name("ocync")
    given = environ.get(variable) or (str(beside) if name == "ocync" and beside.exists() else name)
    binary = shutil.which(given, path=environ.get("PATH"))
    if binary is None:
        return None
    command, arguments, configured = _TOOLS[name]
    return Tool(
        name=name,
        binary=binary,
        version=_version(binary, arguments),
        command=command,
        configured=configured,
        remembers=name.startswith("ocync"),
    )


def _version(binary: str, arguments: str) -> str:
    done = subprocess.run([binary, arguments], capture_output=True, text=True, check=False, timeout=30)
    match = _VERSION.search(done.stdout + done.stderr)
    return match[1] if match else "unknown version"


def _ocync(binary: str, job: Job) -> list[str]:
    names = [f"target{number}" for number in range(len(job.targets))]
    repositories = {"source": job.source, **dict(zip(names, job.targets, strict=True))}
    tags = {"semver": ">=1.0", "sort": "semver", "latest": LATEST} if job.newest else {"glob": "*"}
    config = {
        "global": {"cache_dir": str(job.folder / "cache")},
        "registries": {
            name: {"url": f"https://{host}", "auth_type": "anonymous"} for name, host in repositories.items()
        },
        "target_groups": {"all": names},
        "defaults": {"source": "source", "targets": "all", "tags": tags},
        "mappings": [{"from": repository, "to": repository} for repository in job.repositories],
    }
    return [binary, "sync", "-c", _written(job.folder / "ocync.yaml", config), "--json"]


def _regsync(binary: str, job: Job) -> list[str]:
    hosts = [job.source, *job.targets]
    separate = {"repoAuth": True} if job.tokens else {}
    # It has no "newest ten": this range means the same ones.
    tags = {"tags": {"semverRange": [f">={job.newest[0]}"]}} if job.newest else {}
    config = {
        "version": 1,
        "creds": [{"registry": host, "tls": "enabled", "reqConcurrent": 32, **separate} for host in hosts],
        "defaults": {"parallel": 16, "referrers": True, "digestTags": True, "skipDockerConfig": True},
        "sync": [
            {"source": f"{job.source}/{name}", "target": f"{target}/{name}", "type": "repository", **tags}
            for name in job.repositories
            for target in job.targets
        ],
    }
    return [binary, "once", "-c", _written(job.folder / "regsync.yaml", config), "-v", "warn"]


def _written(path: Path, config: object) -> str:
    # Every JSON document is a YAML one.
    path.write_text(json.dumps(config, indent=1))
    return str(path)


def _crane(binary: str, job: Job) -> list[str]:
    crane = shlex.quote(binary)
    if job.newest:
        copy = f"{crane} copy {job.source}/$0:{{}} TARGET/$0:{{}}"
        return _loop(job, f"{crane} ls {job.source}/$0 | {_NEWEST} | xargs -P {PARALLEL} -I{{}} {copy}")
    return _loop(job, f"{crane} copy --all-tags --jobs 4 {job.source}/$0 TARGET/$0")


def _oras(binary: str, job: Job) -> list[str]:
    oras = shlex.quote(binary)
    listed = f"{oras} repo tags {job.source}/$0" + (f" | {_NEWEST}" if job.newest else "")
    tags = " ".join(_each(job, f"{listed} | sed s,^,$0:,"))
    copies = [
        f"{tags} | xargs -P {PARALLEL} -I{{}} {oras} cp --no-tty -r {job.source}/{{}} {target}/{{}}"
        for target in job.targets
    ]
    return ["sh", "-c", " && ".join(copies)]


def _skopeo(binary: str, job: Job) -> list[str]:
    skopeo = f"{shlex.quote(binary)} --insecure-policy"
    if not job.newest:
        sync = f"{skopeo} sync --all --preserve-digests --keep-going --src docker --dest docker"
        return _loop(job, f"{sync} {job.source}/$0 TARGET/$(dirname $0)")
    tags = f"{skopeo} list-tags docker://{job.source}/$0 | tr -d '\", ' | grep ^[0-9] | {_NEWEST}"
    copy = f"{skopeo} copy -q --all --preserve-digests docker://{job.source}/$0:{{}} docker://TARGET/$0:{{}}"
    return _loop(job, f"{tags} | xargs -P {PARALLEL} -I{{}} {copy}")


_NEWEST = f"sort -V | tail -n {LATEST}"


def _each(job: Job, script: str) -> list[str]:
    """Return the words of a shell command that runs a script for each repository, which it knows as $0."""
    names = " ".join(map(shlex.quote, job.repositories))
    return [f"printf '%s\\n' {names} |", f"xargs -P {PARALLEL} -n 1 sh -c {shlex.quote(script)}"]


def _loop(job: Job, script: str) -> list[str]:
    """Return a command that runs a script for each target and repository."""
    loops = [" ".join(_each(job, script.replace("TARGET", target))) for target in job.targets]
    return ["sh", "-c", " && ".join(loops)]


_TOOLS: dict[str, tuple[Callable[[str, Job], list[str]], str, bool]] = {
    "ocync": (_ocync, "version", True),
    "ocync-rs": (_ocync, "version", True),
    "regsync": (_regsync, "version", True),
    "crane": (_crane, "version", False),
    "oras": (_oras, "version", False),
    "skopeo": (_skopeo, "--version", False),
}
"""How each is run, what it is asked for its version, and whether it is configured by a file."""
NAMES = tuple(_TOOLS)


def environment(home: Path, authority: Path, path: str = os.defpath) -> dict[str, str]:
    """Return the environment for a run: an empty home, and the authority that all tools are to trust."""
    return {
        "PATH": path,
        "HOME": str(home),
        "DOCKER_CONFIG": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "SSL_CERT_FILE": str(authority),
    }
