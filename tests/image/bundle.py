"""The image as a runtime sees it: a docker archive laid out as a root file system, and run from there by runc."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NAMESPACES = (
    "pid",
    "mount",
    "ipc",
    "uts",
)  # the host's network: the registries of the tests listen on its loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An unpacked image: its root file system and the `config` object of its OCI configuration."""

    root: Path
    config: Mapping[str, Any]

    def files(self) -> Iterator[PurePosixPath]:
        """Yield the absolute path of all that is not a folder, links not followed."""
        for folder, _, names in os.walk(self.root):
            yield from (PurePosixPath("/", Path(folder, name).relative_to(self.root)) for name in names)


def unpack(archive: Path, root: Path) -> Image:
    """Lay out the layers of the docker `archive` in the new folder `root`."""
    with tarfile.open(archive) as outer:

        def member(name: str) -> Any:
            found = outer.extractfile(name)
            assert found is not None, f"{archive} has no {name}"
            return found

        (manifest,) = json.load(member("manifest.json"))
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=member(name)) as layer:
                apply(layer, root)
        return Image(root=root, config=json.load(member(manifest["Config"]))["config"])


def apply(layer: tarfile.TarFile, root: Path) -> None:
    """Lay one layer over `root`: whiteouts remove, the rest replaces. Owners are kept if root does it."""
    layer.extraction_filter = lambda entry, _path: entry  # owners, modes and absolute links are what is looked at
    for entry in layer:
        path = root / entry.name
        if path.name.startswith(".wh."):
            assert path.name != ".wh..wh..opq", "opaque folders are not something these images have"
            target = path.with_name(path.name.removeprefix(".wh."))
            shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink()
        else:
            layer.extract(entry, root)


def mapping(own: int, ranges: Path) -> list[dict[str, int]]:
    """Map the container's root to the caller, all others to the ids that subuid(5) or subgid(5) gives them."""
    owners = {pwd.getpwuid(os.geteuid()).pw_name, str(os.geteuid())}
    given = [line.split(":") for line in ranges.read_text(encoding="utf-8").splitlines()]
    start = next((int(first) for owner, first, size in given if owner in owners and int(size) > 65532), None)
    assert start is not None, (
        f"{ranges} gives this user too few ids to run a container: see usermod(8), --add-subuids"
    )
    return [
        {"containerID": 0, "hostID": own, "size": 1},
        {"containerID": 1, "hostID": start, "size": 65532},
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or folder of the host, seen read-only in the container."""

    source: Path
    target: str


def runtime_config(
    image: Image,
    args: Sequence[str],
    *,
    entrypoint: Sequence[str] | None,
    env: Mapping[str, str],
    mounts: Sequence[Mount],
) -> dict[str, Any]:
    """Return an OCI runtime configuration as the kubelet makes it for a restricted pod with a read-only root."""
    variables = dict(line.split("=", 1) for line in image.config["Env"]) | dict(env)
    uid, gid = map(int, image.config["User"].split(":"))
    config: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": uid, "gid": gid},
            "args": [*(image.config["Entrypoint"] if entrypoint is None else entrypoint), *args],
            "env": [f"{name}={value}" for name, value in variables.items()],
            "cwd": image.config["WorkingDir"],
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": str(image.root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {
                "destination": "/tmp",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "nodev", "mode=1777"],
            },
            *(
                {
                    "destination": mount.target,
                    "type": "bind",
                    "source": str(mount.source),
                    "options": ["rbind", "ro"],
                }
                for mount in mounts
            ),
        ],
        "linux": {"namespaces": [{"type": name} for name in NAMESPACES]},
    }
    if os.geteuid() != 0:
        config["linux"]["namespaces"].append({"type": "user"})
        config["linux"]["uidMappings"] = mapping(os.geteuid(), Path("/etc/subuid"))
        config["linux"]["gidMappings"] = mapping(os.getegid(), Path("/etc/subgid"))
    return config


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs containers of one image; `state` is a folder of its own for bundles and for what runc remembers."""

    image: Image
    state: Path

    @contextmanager
    def start(
        self, *args: str, entrypoint: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None, mounts: Sequence[Mount] = (),
    ) -> Iterator[subprocess.Popen[str]]:  # fmt: skip
        """Run the image in the foreground of a child, to which signals go; nothing of it stays."""
        bundle = self.state / f"bundle-{len(list(self.state.iterdir()))}"
        bundle.mkdir()
        name = f"ocync-test-{os.getpid()}-{bundle.name}"
        config = runtime_config(self.image, args, entrypoint=entrypoint, env=env or {}, mounts=mounts)
        (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
        runc = ["runc", "--root", str(self.state / "runc")]
        command = [*runc, "run", "--bundle", str(bundle), name]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload]
        try:
            with process:
                try:
                    yield process
                finally:
                    if process.poll() is None:
                        subprocess.run([*runc, "kill", name, "KILL"], check=False, capture_output=True)
                        process.wait(timeout=10)
        finally:
            subprocess.run([*runc, "delete", "--force", name], check=False, capture_output=True)

    def run(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the image to its end, within 30 s."""
        with self.start(*args, **options) as process:
            out, err = process.communicate(timeout=30)
            return subprocess.CompletedProcess(args, process.returncode, out, err)
