"""The sections `global` and `metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocync.config.model import GlobalSettings, RetrySettings, Timeouts, TlsSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from unit.config.conftest import Load

BASE = "registries: {a: {url: a.b}, c: {url: c.d}}\nmappings: [{from: x, source: a, targets: c}]\n"


def test_an_empty_section_gives_the_defaults(read: Load) -> None:
    config = read(BASE)

    assert config.settings == GlobalSettings(cache_dir=config.path.parent / ".ocync-cache")
    assert config.settings.max_concurrent_transfers == 50
    assert config.settings.cache_ttl == 30 * 86400
    assert config.metrics.pushgateway is None
    assert config.metrics.textfile is None


def test_null_is_read_as_a_missing_key(read: Load) -> None:
    keys = [
        "max_concurrent_transfers",
        "cache_dir",
        "cache_ttl",
        "state",
        "staging_size_limit",
        "deadline",
        "audit",
        "timeouts",
        "retry",
    ]
    inner = ", ".join(f"{key}: null" for key in keys)

    assert read(f"{BASE}global: {{{inner}}}\nmetrics: null\ndefaults:\ntarget_groups: ~\n") == read(BASE)


def test_all_settings_are_read(read: Load) -> None:
    text = f"""{BASE}
global:
  max_concurrent_transfers: 012
  cache_dir: /var/cache/ocync
  cache_ttl: "0"
  staging_size_limit: "2GB"
  deadline: 55m
  audit: {{every: 1d12h}}
  timeouts: {{connect: 5, idle: 2m}}
  retry: {{attempts: 0x3, max_delay: 0}}
"""

    assert read(text).settings == GlobalSettings(
        max_concurrent_transfers=12,
        cache_dir=Path("/var/cache/ocync"),
        cache_ttl=0.0,
        staging_size_limit=2_000_000_000,
        deadline=3300.0,
        audit_every=36 * 3600.0,
        timeouts=Timeouts(connect=5.0, idle=120.0),
        retry=RetrySettings(attempts=3, max_delay=0.0),
    )


def test_settings_may_come_from_variables(read: Load) -> None:
    text = f"{BASE}global: {{max_concurrent_transfers: '${{N}}', cache_ttl: '${{N}}h', deadline: '${{D:-1h}}'}}\n"

    settings = read(text, {"N": "7"}).settings

    assert (settings.max_concurrent_transfers, settings.cache_ttl, settings.deadline) == (7, 7 * 3600.0, 3600.0)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("off", None),
        ("'off'", None),
        ("false", None),
        ("'false'", None),
        ("'${OFF}'", None),
        ("'${NO:-false}'", None),
        ("on", 7 * 86400.0),
        ("true", 7 * 86400.0),
        ("{}", 7 * 86400.0),
        ("~", 7 * 86400.0),
        ("{every: }", 7 * 86400.0),
        ("{every: 1h}", 3600.0),
        ("{every: 3600}", 3600.0),
        ("{every: 365d}", 365 * 86400.0),
        ("{every: '${DAYS}d'}", 30 * 86400.0),
    ],
)
def test_audits_are_on_unless_they_are_turned_off(written: str, seconds: float | None, read: Load) -> None:
    config = read(f"{BASE}global: {{audit: {written}}}\n", {"OFF": "off", "DAYS": "30"})

    assert config.settings.audit_every == seconds


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("audit: {every: 59m}", "3:25: global.audit.every: has to be from 1h to 365d"),
        ("audit: {every: 366d}", "3:25: global.audit.every: has to be from 1h to 365d"),
        ("audit: {every: 3599}", "global.audit.every: has to be at least 3600, not 3599"),
        ("audit: {every: off}", "global.audit.every: 'off' can't be read: write it as 1d or 30d"),
        ("audit: 7d", "global.audit: '7d' can't be read: write it as {'every': '30d'} or off"),
        ("audit: [off]", "global.audit: has to be a map of keys or true or false or text, not a list"),
        ("audit: {evry: 7d}", "global.audit.evry: unknown key, did you mean every?"),
        ("deadline: 0s", "3:20: global.deadline: has to be more than 0"),
        ("timeouts: {connect: 0h}", "3:30: global.timeouts.connect: has to be more than 0"),
        ("timeouts: {idle: '0'}", "global.timeouts.idle: has to be more than 0"),
        ('cache_ttl: "5m\\n"', "global.cache_ttl: is not a duration"),
        ("cache_ttl: 999999d", "global.cache_ttl: is longer than a hundred years"),
        ("staging_size_limit: 9999999TB", "global.staging_size_limit: is larger than any disk"),
    ],
)
def test_settings_that_make_no_sense_are_refused(text: str, line: str, problems: Callable[..., list[str]]) -> None:
    [found] = problems(f"{BASE}global: {{{text}}}\n")

    assert line in found


def test_a_pushgateway_is_read(read: Load) -> None:
    text = f"""{BASE}
metrics:
  pushgateway:
    url: http://pushgateway:9091/
    job: mirror
    grouping: {{cluster: prod, number: 12, empty: ''}}
    username: u
    password: ${{P}}
    tls: {{ca_file: /ca}}
  textfile: /var/lib/node_exporter/ocync.prom
"""

    metrics = read(text, {"P": "hunter2"}).metrics

    assert metrics.pushgateway is not None
    assert metrics.pushgateway.url == "http://pushgateway:9091"
    assert metrics.pushgateway.job == "mirror"
    assert metrics.pushgateway.grouping == {"cluster": "prod", "number": "12", "empty": ""}
    assert metrics.pushgateway.username is not None
    assert metrics.pushgateway.password is not None
    assert metrics.pushgateway.password.value == "hunter2"
    assert metrics.pushgateway.tls == TlsSettings(ca_file=Path("/ca"))
    assert metrics.textfile == Path("/var/lib/node_exporter/ocync.prom")


def test_the_environment_may_name_the_pushgateway(read: Load) -> None:
    environ = {"OCYNC_PUSHGATEWAY_URL": "http://env:9091"}

    for text in (BASE, f"{BASE}metrics: {{pushgateway: {{job: j}}}}\n", f"{BASE}metrics: {{pushgateway: }}\n"):
        pushgateway = read(text, environ).metrics.pushgateway
        assert pushgateway is not None
        assert pushgateway.url == "http://env:9091"


def test_the_environment_wins_over_the_file_and_keeps_the_rest(read: Load) -> None:
    text = f"{BASE}metrics: {{pushgateway: {{url: 'http://file:9091', job: j}}}}\n"

    pushgateway = read(text, {"OCYNC_PUSHGATEWAY_URL": "http://env:9091"}).metrics.pushgateway

    assert pushgateway is not None
    assert (pushgateway.url, pushgateway.job) == ("http://env:9091", "j")


@pytest.mark.parametrize("from_environment", [True, False])
def test_user_name_and_password_are_taken_out_of_the_url(from_environment: bool, read: Load) -> None:
    url = "https://me:p%40ss@push.example:9091/base"
    text = BASE if from_environment else f"{BASE}metrics: {{pushgateway: {{url: '{url}'}}}}\n"

    config = read(text, {"OCYNC_PUSHGATEWAY_URL": url} if from_environment else {})

    pushgateway = config.metrics.pushgateway
    assert pushgateway is not None
    assert pushgateway.url == "https://push.example:9091/base"
    assert pushgateway.username is not None
    assert pushgateway.password is not None
    assert (pushgateway.username.value, pushgateway.password.value) == ("me", "p@ss")
    assert "p@ss" not in repr(config)
    assert "p%40ss" not in repr(config)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", "3:11: metrics.pushgateway.url: is missing, and OCYNC_PUSHGATEWAY_URL is not set"),
        ("{job: j}", "3:11: metrics.pushgateway.url: is missing"),
        (
            "{url: 'pushgateway:9091'}",
            "3:30: metrics.pushgateway.url: is not a URL: write it as http://pushgateway:9091",
        ),
        ("{url: 'http://'}", "metrics.pushgateway.url: is not a URL"),
        ("{url: 'http://a:99999'}", "metrics.pushgateway.url: is not a URL"),
        ("{url: 'http://[a'}", "metrics.pushgateway.url: is not a URL"),
        ("{url: 'http://a?token=hunter2'}", "metrics.pushgateway.url: has a query or a fragment"),
        (
            "{url: 'http://u:hunter2@a', username: u, password: p}",
            "url: holds a user name, and username and password",
        ),
        ("{url: 'http://a', username: u}", "metrics.pushgateway.password: is missing, and username is set"),
        ("{url: 'http://a', username: u, password: '${NO}'}", "pushgateway.password: is empty: ${NO} is not set"),
        (
            "{url: 'http://a', grouping: {job: j}}",
            "metrics.pushgateway.grouping.job: is the label job: set job instead",
        ),
        (
            "{url: 'http://a', grouping: {__a: j}}",
            "grouping.__a: begins with __, which Prometheus reserves for itself",
        ),
        ("{url: 'http://a', tls: {key_file: /k}}", "metrics.pushgateway.tls.cert_file: is missing"),
    ],
)
def test_a_pushgateway_with_bad_settings_is_refused(
    text: str, line: str, problems: Callable[..., list[str]]
) -> None:
    [found] = problems(f"{BASE}metrics: {{pushgateway: {text}}}\n")

    assert line in found
    assert "hunter2" not in found


def test_a_url_of_the_environment_that_is_wrong_is_named(problems: Callable[..., list[str]]) -> None:
    [found] = problems(BASE, {"OCYNC_PUSHGATEWAY_URL": "u:hunter2@push:9091"})

    assert found == "OCYNC_PUSHGATEWAY_URL: is not a URL: write it as http://pushgateway:9091"


def test_a_file_that_the_node_exporter_would_not_read_is_a_warning(warnings: Callable[..., list[str]]) -> None:
    assert warnings(f"{BASE}metrics: {{textfile: /x/ocync.txt}}\n") == [
        "3:11: metrics.textfile: does not end in .prom: the node exporter reads no other files"
    ]
