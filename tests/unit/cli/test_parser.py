from __future__ import annotations

import shlex

import pytest

from ocync.cli import parser
from ocync.lib.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("sync -c f", {"command": "sync", "config": "f", "verbose": 0, "quiet": False}, id="sync"),
        pytest.param(
            "sync --config=f --dry-run --json", {"config": "f", "dry_run": True, "json": True}, id="flags"
        ),
        pytest.param("sync -c f --grace-period 1.5", {"grace_period": 1.5}, id="seconds"),
        pytest.param("sync -c f --grace-period 0", {"grace_period": 0.0}, id="no grace"),
        pytest.param("sync -c f -vv", {"verbose": 2}, id="twice as loud"),
        pytest.param("-v sync -c f", {"verbose": 1}, id="before the command"),
        pytest.param("-q --log-format json sync -c f", {"quiet": True, "log_format": "json"}, id="all before"),
        pytest.param("sync -c f --log-format json", {"log_format": "json"}, id="behind the command"),
        pytest.param("sync -c f", {"audit": None}, id="no audit but the configuration's"),
        pytest.param("sync -c f --audit", {"audit": 0.0}, id="an audit"),
        pytest.param("sync -c f --audit=12.5", {"audit": 0.125}, id="an audit that hashes a part"),
        pytest.param("copy a b", {"source": "a", "destination": "b", "config": None}, id="copy"),
        pytest.param("tags r --glob a --glob b", {"glob": ["a", "b"], "include": []}, id="repeated"),
        pytest.param("tags r --sort semver --latest 3", {"sort": "semver", "latest": 3}, id="numbers"),
        pytest.param("validate f", {"config": "f"}, id="validate"),
        pytest.param("expand f --show-secrets", {"config": "f", "show_secrets": True}, id="expand"),
        pytest.param("auth check -c f -c g", {"config": ["f", "g"], "json": False}, id="several files"),
        pytest.param(
            "watch -c f", {"interval": 300.0, "health_port": 8080, "health_bind": "127.0.0.1"}, id="watch"
        ),
        pytest.param("watch -c f --interval 60 --health-port 0", {"interval": 60.0, "health_port": 0}, id="ports"),
    ],
)
def test_a_command_line_is_understood(line: str, expected: dict[str, object]) -> None:
    options = vars(parser.build().parse_args(shlex.split(line)))

    assert {name: options[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        pytest.param("", "COMMAND", "see ocync --help", id="nothing"),
        pytest.param("snyc", "'snyc'", "see ocync --help", id="no such command"),
        pytest.param("sync", "-c/--config", "see ocync sync --help", id="a missing option"),
        pytest.param("sync -c", "expected one argument", "see ocync sync --help", id="a missing value"),
        pytest.param("sync -c f --jsn", "did you mean --json?", "see ocync sync --help", id="a misspelt option"),
        pytest.param("sync -c f --dry", "unknown argument --dry", "see ocync sync --help", id="an abbreviation"),
        pytest.param("auth check --zzz -c f", "unknown argument --zzz", "see ocync auth check --help", id="nested"),
        pytest.param("auth", "ACTION", "see ocync auth --help", id="a missing action"),
        pytest.param("copy a", "DST", "see ocync copy --help", id="a missing argument"),
        pytest.param("copy a b c", "unknown argument c", "see ocync copy --help", id="too many arguments"),
        pytest.param("tags r --latest 0", "'0'", "see ocync tags --help", id="none of the latest"),
        pytest.param("tags r --latest 1.5", "'1.5'", "see ocync tags --help", id="half a tag"),
        pytest.param("tags r --latest \u0663", "'\u0663'", "see ocync tags --help", id="digits of another script"),
        pytest.param("tags r --sort name", "'name'", "see ocync tags --help", id="no such order"),
        pytest.param("sync -c f --grace-period -1", "-1", "see ocync sync --help", id="negative"),
        pytest.param("sync -c f --grace-period nan", "nan", "see ocync sync --help", id="not a number"),
        pytest.param("sync -c f --grace-period inf", "inf", "see ocync sync --help", id="for ever"),
        pytest.param("watch -c f --interval 0", "0", "see ocync watch --help", id="without a pause"),
        pytest.param("watch -c f --health-port 65536", "'65536'", "see ocync watch --help", id="no such port"),
        pytest.param("sync -c f --log-format xml", "'xml'", "see ocync sync --help", id="no such form"),
    ],
)
def test_a_wrong_command_line_is_a_configuration_error_with_a_hint(line: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parser.build().parse_args(shlex.split(line))

    assert message in caught.value.message
    assert caught.value.hint == hint


def test_the_value_of_an_unknown_option_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        parser.build().parse_args(["sync", "-c", "f", "--password=hunter2"])

    assert "hunter2" not in str(caught.value)
