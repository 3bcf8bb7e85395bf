"""The arguments of all commands. Imports no large library, since `ocync version` needs this module too."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from ocync import __version__
from ocync.lib.errors import ConfigError

DESCRIPTION = "Keeps a company's own registry filled with the container images it runs."
EXIT_CODES = """\
exit codes:
  0  everything is synced or was up to date
  1  some images failed
  2  all images failed, or there was an unexpected error
  3  the configuration or the command line is wrong
  4  all failures are about authentication or authorisation
  5  interrupted by a signal or the deadline before the pass was complete
"""


class Parser(argparse.ArgumentParser):
    """Raises ConfigError instead of exiting with 2, which means something else here."""

    def error(self, message: str) -> NoReturn:
        """Raise the error of a wrong command line."""
        raise ConfigError(message, hint=f"see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse unknown arguments here, where the command is known."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # Without the value after =, which may be a password.
            name = unknown[0].partition("=")[0]
            self.error(f"unknown argument {name}{self._suggestion(name)}")
        return options, unknown

    def _suggestion(self, name: str) -> str:
        from difflib import get_close_matches

        similar = get_close_matches(name, self._option_string_actions, n=1)
        return f"; did you mean {similar[0]}?" if similar else ""


def version() -> str:
    """Return the version of the program and of Python."""
    return f"ocync {__version__} (Python {sys.version.partition(' ')[0]})"


def build() -> Parser:
    """Return the parser of the whole command line; `command` holds the name of the command."""
    parser = Parser(
        prog="ocync",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=version(), help="print the version")
    _global_options(parser, top=True)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for add in (_sync, _copy, _tags, _validate, _expand, _auth, _analyze, _watch, _version, _completion):
        add(commands)
    return parser


def _global_options(parser: argparse.ArgumentParser, *, top: bool) -> None:
    """Add the options that may come before or after the command."""
    group = parser.add_argument_group("output")
    # A default after the command would overwrite the value from before it.
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0 if top else argparse.SUPPRESS,
        help="log debug messages; -vv also traces requests",
    )
    group.add_argument(
        "-q", "--quiet", action="store_true", default=False if top else argparse.SUPPRESS, help="show errors only"
    )
    group.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text" if top else argparse.SUPPRESS,
        help="format of the log on stderr (default: text)",
    )


def _command(commands: argparse._SubParsersAction[Parser], name: str, summary: str) -> Parser:
    parser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
    )
    _global_options(parser, top=False)
    return parser


def _config(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    _file(parser.add_argument("-c", "--config", metavar="FILE", required=required, help="the configuration file"))


def _file(action: argparse.Action) -> None:
    """Let shells complete file names for this argument (see shtab)."""
    vars(action)["complete"] = {"bash": "_shtab_compgen_files", "zsh": "_files"}


def _grace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--grace-period",
        metavar="SECONDS",
        type=_seconds,
        default=25.0,
        help="time for images in flight to complete after SIGTERM (default: 25)",
    )


def _sync(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "sync", "bring all targets up to date in one pass")
    _config(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="compare both sides and show what would be copied, but write nothing"
    )
    parser.add_argument("--json", action="store_true", help="write the report as one JSON document to stdout")
    parser.add_argument(
        "--schedule",
        metavar="CRON",
        help="the cron expression of the CronJob that runs this command; starts nothing, but sets the metric "
        "ocync_schedule_interval_seconds, the longest time between two runs",
    )
    parser.add_argument(
        "--audit",
        type=_share,
        nargs="?",
        const=0.0,
        metavar="PERCENT",
        help="check everything below tags that are up to date, as global.audit does in small parts, and copy again "
        "what targets have lost; with PERCENT, also read and hash that share of their blobs (100: all)",
    )
    _grace(parser)
    _termination_log(parser)


def _termination_log(parser: argparse.ArgumentParser) -> None:
    _file(
        parser.add_argument(
            "--termination-log",
            metavar="FILE",
            default="/dev/termination-log",
            help="the pod's termination message, written only if the file exists (default: /dev/termination-log)",
        )
    )


def _copy(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "copy", "copy one image")
    parser.add_argument(
        "source", metavar="SRC", help="[http://]host[:port]/repository[:tag][@digest] or oci:DIR/repository[:tag]"
    )
    parser.add_argument("destination", metavar="DST", help="in the form of SRC; the default tag is that of SRC")
    parser.add_argument(
        "--dry-run", action="store_true", help="compare both sides and show what would be copied, but write nothing"
    )
    parser.add_argument(
        "--no-artifacts",
        action="store_false",
        dest="artifacts",
        help="do not copy what is attached to the image: signatures, SBOMs, attestations",
    )
    parser.add_argument("--json", action="store_true", help="write the report as one JSON document to stdout")
    _verification(parser)
    _config(parser, required=False)
    _grace(parser)


def _verification(parser: argparse.ArgumentParser) -> None:
    """Add the trusted signers, as options named like those of cosign."""
    group = parser.add_argument_group("signatures", "copy the image only if one of these has signed it with cosign")
    _file(
        group.add_argument(
            "--verify-key", action="append", default=[], metavar="FILE", help="a public key; repeatable"
        )
    )
    identity = group.add_mutually_exclusive_group()
    identity.add_argument(
        "--verify-identity", metavar="NAME", help="the identity in the certificate: an e-mail address or a URL"
    )
    identity.add_argument(
        "--verify-identity-regexp",
        metavar="PATTERN",
        help="the same as a regular expression that matches the whole identity",
    )
    group.add_argument("--verify-issuer", metavar="URL", help="the OIDC issuer of the identity")
    _file(
        group.add_argument(
            "--verify-trusted-root",
            metavar="FILE",
            help="a trusted_root.json (default: that of the public Sigstore, as shipped with the sigstore library)",
        )
    )


def _tags(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "tags", "list the tags of a repository that match tag rules")
    parser.add_argument("repository", metavar="REPO", help="[http://]host[:port]/repository or oci:DIR/repository")
    _config(parser, required=False)
    parser.add_argument(
        "--glob", action="append", default=[], metavar="PATTERN", help="keep tags that match; repeatable"
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATTERN",
        help="also keep tags that match, beyond --glob; repeatable",
    )
    parser.add_argument("--semver", metavar="RANGE", help="keep versions in a range, such as '>=1.2, <2'")
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="PATTERN", help="leave out tags that match; repeatable"
    )
    parser.add_argument("--sort", choices=("semver", "alpha"), help="sort the tags, highest first")
    parser.add_argument("--latest", type=_count, metavar="N", help="keep the first N of the sorted tags")


def _validate(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(
        commands, "validate", "check a configuration without using the network, and show all errors at once"
    )
    _file(parser.add_argument("config", metavar="FILE", help="the configuration file"))


def _expand(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(
        commands, "expand", "show the effective configuration: defaults merged, environment substituted"
    )
    _file(parser.add_argument("config", metavar="FILE", help="the configuration file"))
    parser.add_argument(
        "--show-secrets",
        action="store_true",
        help="show secrets instead of ***; do not use it where output is logged",
    )


def _auth(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "auth", "inspect registry credentials")
    actions = parser.add_subparsers(dest="auth_command", metavar="ACTION", required=True, parser_class=Parser)
    check = _command(actions, "check", "show which credentials are found where, and whether registries accept them")
    _file(
        check.add_argument(
            "-c", "--config", metavar="FILE", action="append", required=True, help="the configuration; repeatable"
        )
    )
    check.add_argument("--json", action="store_true", help="write the findings as one JSON document to stdout")


def _analyze(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(
        commands, "analyze", "forecast the cost of the next pass, and what blobs shared between images save"
    )
    _config(parser)
    parser.add_argument(
        "--cold",
        action="store_true",
        help="forecast the first pass: assume empty targets, and send no requests there",
    )
    parser.add_argument("--json", action="store_true", help="write the analysis as one JSON document to stdout")


def _watch(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _command(commands, "watch", "run passes until stopped, with /healthz, /readyz and /metrics")
    _config(parser)
    parser.add_argument(
        "--interval",
        type=_interval,
        default=300.0,
        metavar="SECONDS",
        help="time from the start of one pass to that of the next (default: 300)",
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
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage") from None
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100")
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
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds of at least {minimum:g}")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text[:9])


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:6]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number")
    return int(text)
