"""
The demonstration that `scripts/demo` runs, within the environment that it makes.

Two registries on loopback (tests/scripted): the source is guarded by tokens as cgr.dev is, the target by Basic.
What is run is the `ocync` of this checkout, with the configuration of the README; only the hosts are others.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".demo"
OCYNC = Path(sys.executable).with_name("ocync")
SECRETS = {
    "CHAINGUARD_USERNAME": "pull-token-id",
    "CHAINGUARD_PASSWORD": "correct: horse # \"battery' $staple",
    "GITHUB_TOKEN": "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
}
# Whatever this machine has for other registries or proxies has no part in it.
QUIET = {name: os.environ[name] for name in ("PATH", "LANG", "TERM", "NO_COLOR", "COLUMNS") if name in os.environ}
CONFIG = """\
registries:
  src:
    url: {source}
    auth_type: basic
    credentials:
      username: ${{CHAINGUARD_USERNAME}}
      password: ${{CHAINGUARD_PASSWORD}}
  ghcr:
    url: {target}
    auth_type: static_token
    token: ${{GITHUB_TOKEN}}
defaults:
  source: src
  targets: ghcr
mappings:
  - from: chainguard/static
    to: myorg/static
  - from: chainguard/python
    to: myorg/python
"""


def main() -> int:
    """Run the demonstration; returns 0 when everything came out as it should."""
    started = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    with ExitStack() as stack:
        title("two registries: the source asks for tokens, the target for a password")
        source = registry(
            stack,
            "source",
            *("--auth", "bearer", "--user-env", "CHAINGUARD_USERNAME:CHAINGUARD_PASSWORD:pull", "--seed-demo"),
        )
        target = registry(stack, "target", "--auth", "basic", "--user-env", "TARGET_USER:GITHUB_TOKEN")
        gateway = pushgateway(stack)
        title("the configuration of the README, with these hosts")
        config = FOLDER / "ocync.yaml"
        config.write_text(CONFIG.format(source=source, target=target))
        print(config.read_text())
        environ = {**QUIET, **SECRETS, "HOME": str(FOLDER), "OCYNC_PUSHGATEWAY_URL": gateway}

        title("ocync auth check: which credentials were found where, and what the registries say")
        ocync(environ, "auth", "check", "-c", config.name)
        title("ocync sync: the first pass copies")
        ocync(environ, "sync", "-c", config.name)
        title("ocync sync --json: the second pass has nothing to do")
        report = json.loads(ocync(environ, "sync", "-c", config.name, "--json", capture=True))
        print(json.dumps({**report, "images": report["images"][:1]}, indent=2))
        assert {image["status"] for image in report["images"]} == {"skipped"}, "something was copied twice"
        assert report["stats"]["bytes_transferred"] == 0

        title("without credentials the source shows two tags, and one of these is copied to a folder")
        anonymous = {**QUIET, "HOME": str(FOLDER)}
        ocync(anonymous, "tags", f"{source}/chainguard/static")
        ocync(anonymous, "copy", f"{source}/chainguard/static:latest", "oci:./mirror/static:latest")
        for path in sorted((FOLDER / "mirror" / "static").rglob("*")):
            if path.is_file():
                print(f"  {path.relative_to(FOLDER)}  {path.stat().st_size} bytes")
        title("what arrived at the Pushgateway")
        show_metrics(gateway)
    title(f"done in {time.monotonic() - started:.0f} s; everything that was started has been ended")
    print(f"The configuration and the layout are in {FOLDER.relative_to(ROOT)}/.")
    return 0


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def ocync(environ: dict[str, str], *arguments: str, capture: bool = False) -> str:
    """Run ocync in the demonstration's folder; raises when it does not exit with 0."""
    print(f"$ ocync {' '.join(arguments)}", flush=True)
    done = subprocess.run(
        [OCYNC, *arguments],
        env=environ,
        cwd=FOLDER,
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"scripts/demo: ocync exited with {done.returncode}")
    return done.stdout or ""


def registry(stack: ExitStack, name: str, *options: str) -> str:
    """Start a registry and return its URL; it ends with the demonstration."""
    environ = {**QUIET, **SECRETS, "TARGET_USER": "x-access-token", "PYTHONPATH": str(ROOT / "tests")}
    process = subprocess.Popen(
        [sys.executable, "-m", "scripted", *options], env=environ, stdout=subprocess.PIPE, text=True
    )
    stack.callback(end, process)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"scripts/demo: the {name} registry did not start")
    url = str(json.loads(line)["url"])
    print(f"{name}: {url}")
    return url


def end(process: subprocess.Popen[str]) -> None:
    """End a process that this program has started."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def pushgateway(stack: ExitStack) -> str:
    """Start the real Pushgateway where it is installed, and else a receiver that keeps the last push."""
    program = shutil.which("prometheus-pushgateway") or shutil.which("pushgateway")
    if program is None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}"
        print(f"receiver in place of a Pushgateway: {url}")
        return url
    port = free_port()
    process = subprocess.Popen(
        # Debian's keeps what it got in /var/lib by default.
        [program, f"--web.listen-address=127.0.0.1:{port}", f"--persistence.file={FOLDER / 'pushgateway'}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    stack.callback(end, process)
    url = f"http://127.0.0.1:{port}"
    for _ in range(100):
        try:
            fetch(f"{url}/-/ready")
            break
        except OSError:
            time.sleep(0.1)
    else:
        raise SystemExit("scripts/demo: the Pushgateway did not start")
    print(f"Pushgateway: {url}")
    return url


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str) -> str:
    """Return what a URL of this machine answers; proxies are not asked."""
    with build_opener(ProxyHandler({})).open(url, timeout=10) as response:
        return str(response.read().decode())


def show_metrics(gateway: str) -> None:
    """Print ocync's series from the Pushgateway."""
    series = [line for line in fetch(f"{gateway}/metrics").splitlines() if line.startswith("ocync_")]
    assert any(line.startswith("ocync_last_success_timestamp_seconds") for line in series), "no metrics arrived"
    print("\n".join(f"  {line}" for line in series))


class Receiver(BaseHTTPRequestHandler):
    """Takes pushes as a Pushgateway does, and shows the last one at /metrics."""

    last = b""

    def do_POST(self) -> None:
        """Keep what is pushed."""
        type(self).last = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.answer(b"")

    do_PUT = do_POST  # noqa: N815 -- the name is http.server's

    def do_GET(self) -> None:
        """Show what was pushed."""
        self.answer(self.last)

    def answer(self, body: bytes) -> None:
        """Answer 200."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    sys.exit(main())
