"""The arguments of all commands. Imports nothing heavy: it runs for `ocync version` too."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from ocync.lib.errors import ConfigError

DESCRIPTION = "Keeps a company's own registry filled with the container images it runs."
EXIT_CODES = """\
exit codes:
  0  everything is synced or was up to date
  1  some images failed
  2  all images failed, or something unclassified happened
  3  the configuration or the command line is wrong
  4  all failures are about authentication or authorisation
  5  interrupted by a signal or the deadline before the pass was complete
"""


class Parser(argparse.ArgumentParser):
    """Raises ConfigError instead of exiting: argparse's own code for usage, 2, means something else here."""

    def error(self, message: str) -> NoReturn:
        """Raise the error of a wrong command line."""
        raise ConfigError(message, hint=f"see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse what is unknown here, where it is known which command it was meant for."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # Without what stands behind a =: it may be a password.
            name = unknown[0].partition("=")[0]
            self.error(f"{name} means nothing here{self._suggestion(name)}")
        return options, unknown

    def _suggestion(self, name: str) -> str:
        from difflib import get_close_matches

        similar = get_close_matches(name, self._option_string_actions, n=1)
        return f", perhaps {similar[0]} is meant" if similar else ""


class _Version(argparse.Action):
    """`--version`: the same as the command, for those who are used to it."""

    def __call__(self, parser: argparse.ArgumentParser, *_given: object) -> None:
        """Print the version and end."""
        from ocync.cli.version import version

        parser.exit(version())


def build() -> Parser:
    """Return the parser of the whole command line; `command` holds the name of the command."""
    parser = Parser(
        prog="ocync",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    _global_options(parser, top=True)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for add in (_sync, _copy, _tags, _validate, _expand, _auth, _analyze, _watch, _version, _completion):
        add(commands)
    return parser


def _global_options(parser: argparse.ArgumentParser, *, top: bool) -> None:
    """Add the options that may stand before the command or behind it."""
    group = parser.add_argument_group("output")
    # Behind the command a default would overwrite what was given before it.
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0 if top else argparse.SUPPRESS,
        help="debug messages; -vv also traces requests",
    )
    group.add_argument(
        "-q", "--quiet", action="store_true", default=False if top else argparse.SUPPRESS, help="errors only"
    )
    group.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text" if top else argparse.SUPPRESS,
        help="form of the log on stderr (default: text)",
    )


def _command(commands: argparse._SubParsersAction[Parser], name: str, summary: str) -> Parser:
    parser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
    )
    _global_options(parser, top=False)
    return parser


def _config(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    _file(parser.add_argument("-c", "--config", metavar="FILE", required=required, help="the configuration"))


def _file(action: argparse.Action) -> None:
    """Have shells complete the names of files here, by what shtab looks for."""
    vars(action)["complete"] = {"bash": "_shtab_compgen_files", "zsh": "_files"}


def _grace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--grace-period",
        metavar="SECONDS",
        type=_seconds,
        default=25.0,
        help="how long images in flight may go on after SIGTERM (default: 25)",
    )


def _sync(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "sync", "bring all targets up to date, in one pass")
    _config(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="ask both sides, say what would be done, write nothing"
    )
    parser.add_argument("--json", action="store_true", help="write the report as one JSON document to stdout")
    parser.add_argument(
        "--schedule",
        metavar="CRON",
        help="the cron expression by which this is run, as the chart's CronJob passes it; starts nothing, but lets "
        "metrics tell the longest time between two runs (ocync_schedule_interval_seconds)",
    )
    parser.add_argument(
        "--audit",
        type=_share,
        nargs="?",
        const=0.0,
        metavar="PERCENT",
        help="look below all tags that are up to date, as global.audit does little by little, and bring again what "
        "targets have lost; with PERCENT, read and hash that part of their blobs (100: all of them)",
    )
    _grace(parser)
    _termination_log(parser)


def _termination_log(parser: argparse.ArgumentParser) -> None:
    _file(
        parser.add_argument(
            "--termination-log",
            metavar="FILE",
            default="/dev/termination-log",
            help="where Kubernetes reads a summary, if the file is there (default: /dev/termination-log)",
        )
    )


def _copy(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "copy", "copy one image")
    parser.add_argument(
        "source", metavar="SRC", help="[http://]host[:port]/repository[:tag][@digest] or oci:DIR/repository[:tag]"
    )
    parser.add_argument("destination", metavar="DST", help="as SRC; the tag defaults to the source's")
    parser.add_argument(
        "--dry-run", action="store_true", help="ask both sides, say what would be done, write nothing"
    )
    parser.add_argument(
        "--no-artifacts",
        action="store_false",
        dest="artifacts",
        help="leave out what is attached to the image: signatures, SBOMs, attestations",
    )
    parser.add_argument("--json", action="store_true", help="write the report as one JSON document to stdout")
    _verification(parser)
    _config(parser, required=False)
    _grace(parser)


def _verification(parser: argparse.ArgumentParser) -> None:
    """Add who has to have signed, by the names of cosign's own options."""
    group = parser.add_argument_group("signatures", "copy nothing that none of these has signed, as cosign does it")
    _file(
        group.add_argument(
            "--verify-key", action="append", default=[], metavar="FILE", help="a public key; repeatable"
        )
    )
    who = group.add_mutually_exclusive_group()
    who.add_argument(
        "--verify-identity", metavar="NAME", help="whom the certificate names: an e-mail address or a URL"
    )
    who.add_argument("--verify-identity-regexp", metavar="PATTERN", help="the same, as a pattern of the whole name")
    group.add_argument("--verify-issuer", metavar="URL", help="the OIDC issuer that vouches for the identity")
    _file(
        group.add_argument(
            "--verify-trusted-root",
            metavar="FILE",
            help="a trusted_root.json (default: Sigstore's public one, as it came with the sigstore library)",
        )
    )


def _tags(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "tags", "list the tags of a repository, through the tag rules")
    parser.add_argument("repository", metavar="REPO", help="[http://]host[:port]/repository or oci:DIR/repository")
    _config(parser, required=False)
    parser.add_argument(
        "--glob", action="append", default=[], metavar="PATTERN", help="keep tags that match; repeatable"
    )
    parser.add_argument(
        "--include", action="append", default=[], metavar="PATTERN", help="keep these besides; repeatable"
    )
    parser.add_argument("--semver", metavar="RANGE", help="keep versions of a range, as '>=1.2, <2'")
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="PATTERN", help="leave these out; repeatable"
    )
    parser.add_argument("--sort", choices=("semver", "alpha"), help="order, highest first")
    parser.add_argument("--latest", type=_count, metavar="N", help="keep the first N after sorting")


def _validate(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(
        commands, "validate", "check a configuration without any network, and show every error at once"
    )
    _file(parser.add_argument("config", metavar="FILE", help="the configuration"))


def _expand(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(
        commands, "expand", "show the effective configuration: defaults merged, environment substituted"
    )
    _file(parser.add_argument("config", metavar="FILE", help="the configuration"))
    parser.add_argument("--show-secrets", action="store_true", help="show secrets instead of ***; not for logs")


def _auth(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "auth", "look after credentials")
    actions = parser.add_subparsers(dest="auth_command", metavar="ACTION", required=True, parser_class=Parser)
    check = _command(actions, "check", "tell which credentials were found where, and whether they are accepted")
    _file(
        check.add_argument(
            "-c", "--config", metavar="FILE", action="append", required=True, help="the configuration; repeatable"
        )
    )
    check.add_argument("--json", action="store_true", help="write the findings as one JSON document to stdout")


def _analyze(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "analyze", "forecast the next pass, and what sharing of blobs between images saves")
    _config(parser)
    parser.add_argument(
        "--cold",
        action="store_true",
        help="take the targets to be empty, and ask nothing there: what a first pass costs",
    )
    parser.add_argument("--json", action="store_true", help="write the analysis as one JSON document to stdout")


def _watch(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "watch", "make passes for ever, with /healthz, /readyz and /metrics")
    _config(parser)
    parser.add_argument(
        "--interval",
        type=_interval,
        default=300.0,
        metavar="SECONDS",
        help="from one pass to the next (default: 300)",
    )
    parser.add_argument(
        "--health-port", type=_port, default=8080, metavar="PORT", help="port of the endpoints (default: 8080)"
    )
    parser.add_argument(
        "--health-bind", default="127.0.0.1", metavar="IP", help="address of the endpoints (default: 127.0.0.1)"
    )
    parser.add_argument("--json", action="store_true", help="write each report as one line of JSON to stdout")
    _grace(parser)


def _version(commands: argparse._SubParsersAction[Parser]) -> None:
    _command(commands, "version", "print the version")


def _completion(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "completion", "print a completion script for a shell")
    parser.add_argument("shell", choices=("bash", "zsh"))


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of percent") from None
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 100")
    return value / 100


def _seconds(text: str) -> float:
    return _number(text, minimum=0.0)


def _interval(text: str) -> float:
    return _number(text, minimum=1.0)


def _number(text: str, *, minimum: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not minimum <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from {minimum:g} on")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text[:9])


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:6]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)
