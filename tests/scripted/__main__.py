"""
A scripted registry as a program: prints one line of JSON with its address, then serves until SIGTERM.

    python -m scripted --auth bearer --user-env USERNAME:PASSWORD --seed-demo
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
from pathlib import Path

from scripted import control, demo
from scripted.access import Basic, Bearer, NoAuth
from scripted.accounts import Anonymous, User
from scripted.behaviour import Behaviour
from scripted.registry import ScriptedRegistry


def main(arguments: list[str] | None = None) -> int:
    """Run the program."""
    options = _parser().parse_args(arguments)
    try:
        registry = make(options)
    except ValueError as error:
        print(f"scripted: {error}", file=sys.stderr)
        return 2
    asyncio.run(_serve(registry, options))
    return 0


def make(options: argparse.Namespace) -> ScriptedRegistry:
    """Make the registry that the options describe; raises ValueError."""
    tls = None
    if options.tls_cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.tls_cert, options.tls_key)
    behaviour = json.loads(options.behaviour)
    unknown = set(behaviour) - set(Behaviour.__dataclass_fields__)
    if unknown:
        raise ValueError(f"--behaviour has no {', '.join(sorted(unknown))}")
    registry = ScriptedRegistry(
        auth=_auth(options),
        tls=tls,
        folder=Path(options.folder) if options.folder else None,
        bind=options.bind,
        port=options.port,
        **behaviour,
    )
    if options.seed_demo:
        demo.seed(registry)
    if options.control:
        control.attach(registry)
    return registry


async def _serve(registry: ScriptedRegistry, options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await registry.start()
    try:
        print(json.dumps({"host": registry.host, "url": registry.url}), flush=True)
        await stop.wait()
    finally:
        await registry.stop()
    if options.report:
        Path(options.report).write_text(json.dumps(control.state_of(registry), indent=2))


def _auth(options: argparse.Namespace) -> NoAuth | Basic | Bearer:
    if options.auth == "none":
        return NoAuth()
    users = tuple(_user(text) for text in options.user_env)
    given = options.anonymous_tags
    if options.auth == "basic":
        return Basic(users=users, anonymous=None if given is None else _anonymous(given))
    anonymous = None if options.no_anonymous else _anonymous("latest,latest-dev" if given is None else given)
    return Bearer(users=users, anonymous=anonymous, expires_in=options.expires_in, realm=options.realm)


def _anonymous(tags: str) -> Anonymous:
    return Anonymous(tags=None if tags == "*" else frozenset(tags.split(",")))


def _user(text: str) -> User:
    """Read `NAME_VARIABLE:PASSWORD_VARIABLE[:pull]`; secrets are not for arguments."""
    name, _, rest = text.partition(":")
    password, _, rights = rest.partition(":")
    missing = [variable for variable in (name, password) if not os.environ.get(variable)]
    if missing:
        raise ValueError(f"--user-env {text}: {' and '.join(missing) or 'a variable'} is not set")
    return User(name=os.environ[name], password=os.environ[password], push=() if rights == "pull" else ("",))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripted", description="A container registry for tests.")
    parser.add_argument("--bind", default="127.0.0.1", metavar="IP")
    parser.add_argument("--port", type=int, default=0, help="0: one that is free")
    parser.add_argument("--auth", choices=("none", "basic", "bearer"), default="none")
    parser.add_argument(
        "--user-env",
        action="append",
        default=[],
        metavar="NAME_VAR:PASSWORD_VAR[:pull]",
        help="a user whose name and password are in these environment variables",
    )
    parser.add_argument(
        "--anonymous-tags",
        metavar="TAGS",
        help="what callers without credentials see (*: all; bearer: latest,latest-dev; basic: nothing)",
    )
    parser.add_argument("--no-anonymous", action="store_true", help="no tokens without credentials")
    parser.add_argument("--expires-in", type=float, default=300, metavar="SECONDS", help="life of a token")
    parser.add_argument("--realm", metavar="URL", help="what the challenge gives as realm")
    parser.add_argument("--tls-cert", metavar="FILE")
    parser.add_argument("--tls-key", metavar="FILE")
    parser.add_argument("--folder", metavar="DIR", help="where uploads of more than 8 MiB are kept")
    parser.add_argument("--behaviour", default="{}", metavar="JSON", help="options of scripted.behaviour")
    parser.add_argument("--seed-demo", action="store_true", help="begin with a small corpus")
    parser.add_argument("--control", action="store_true", help="serve /_scripted/ (see scripted.control)")
    parser.add_argument("--report", metavar="FILE", help="write counts and tags there at the end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
