"""The config file that the pod finds: the user's, with only what was left open filled in."""

from __future__ import annotations

import pytest
from helm_python import HelmRenderError

from chart.rendering import CONFIG, at, merged, render, values

GROUPING = {"namespace": "images", "release": "mirror"}


def test_the_cache_is_put_where_the_pod_may_write() -> None:
    release = render(values())

    assert release.config["global"]["cache_dir"] == "/tmp/ocync-cache"
    assert {"name": "tmp", "mountPath": "/tmp"} in release.container["volumeMounts"]


def test_the_users_cache_stays_where_it_is() -> None:
    release = render(merged(values(), at("config.global.cache_dir", "/var/cache/ocync")))

    assert release.config["global"]["cache_dir"] == "/var/cache/ocync"


def test_nothing_is_staged_where_the_disk_is_the_pods_memory() -> None:
    memory = merged(values(), at("tmp.medium", "Memory"))

    assert "staging_size_limit" not in render(values()).config["global"]
    assert render(memory).config["global"]["staging_size_limit"] == 0
    elsewhere = merged(memory, at("config.global.cache_dir", "/var/cache/ocync"))
    assert "staging_size_limit" not in render(elsewhere).config["global"]


def test_the_users_limit_of_what_is_staged_in_memory_stays_and_is_pointed_out() -> None:
    release = render(merged(values(), at("tmp.medium", "Memory"), at("config.global.staging_size_limit", "200MB")))

    assert release.config["global"]["staging_size_limit"] == "200MB"
    assert "what is staged in memory counts against resources.limits.memory" in release.notes


def test_other_global_settings_stay_beside_what_is_filled_in() -> None:
    release = render(merged(values(mode="watch"), at("config.global.cache_ttl", "1h")))

    assert release.config["global"] == {"cache_dir": "/tmp/ocync-cache", "cache_ttl": "1h"}


@pytest.mark.parametrize("audit", [False, "off", "${AUDIT}", {"every": "30d"}, {"every": 86400}])
def test_audits_are_set_as_in_a_config_file(audit: object) -> None:
    assert render(merged(values(), at("config.global.audit", audit))).config["global"]["audit"] == audit


@pytest.mark.parametrize(
    ("active", "grace", "deadline"),
    [(21600, 60, "21480s"), (3600, 300, "3240s"), (600, 60, "480s"), (300, 60, "210s"), (100, 30, "60s")],
)
def test_a_run_ends_its_work_in_time_to_complete_what_is_in_flight(active: int, grace: int, deadline: str) -> None:
    more = {"job": {"activeDeadlineSeconds": active}, "terminationGracePeriodSeconds": grace}

    assert render(values(**more)).config["global"]["deadline"] == deadline


def test_the_users_deadline_stays() -> None:
    assert render(merged(values(), at("config.global.deadline", "20m"))).config["global"]["deadline"] == "20m"


def test_a_watcher_has_no_deadline() -> None:
    assert "deadline" not in render(values(mode="watch")).config["global"]


def test_a_time_limit_that_leaves_no_time_to_work_is_refused() -> None:
    with pytest.raises(HelmRenderError, match=r"activeDeadlineSeconds \(60\) leaves no time"):
        render(merged(values(), at("job.activeDeadlineSeconds", 60)))


@pytest.mark.parametrize(
    "text",
    [
        "${A}",
        "${A:-x: y # z}",
        "${A:?say \"why\", 'please' <&>}",
        "${my-key.x}/$$HOME",
        "{{ .Values.mode }}${A}",
        "$A $(A) ${A",
        "1.10",
        "no",
        "012",
        "12:30:45",
        "ümläut ☃",
        "line\nanother\n",
        "  spaces  ",
        "x" * 300 + " ${A} " + "y" * 300,
    ],
)
def test_no_text_is_changed_on_its_way_to_the_pod(text: str) -> None:
    tags = {"include": [text]}
    release = render(merged(values(), {"config": {"defaults": {"tags": tags}}}))

    assert release.config["defaults"]["tags"] == tags


def test_variables_stand_in_the_configmap_as_they_were_written() -> None:
    release = render(merged(values(), at("config.registries.dst.token", "${GITHUB_TOKEN}")))

    assert "    token: ${GITHUB_TOKEN}\n" in release.config_text


def test_a_pushgateway_is_grouped_by_release_and_never_by_pod() -> None:
    release = render(merged(values(), at("metrics.pushgateway.url", "http://push:9091")))

    assert release.config["metrics"] == {"pushgateway": {"url": "http://push:9091", "grouping": GROUPING}}


def test_a_pushgateway_in_the_config_is_grouped_too_and_wins_field_by_field() -> None:
    release = render(
        merged(
            values(),
            at("metrics.pushgateway", {"url": "http://other:9091", "job": "mirror"}),
            at("config.metrics", {"pushgateway": {"url": "${PUSH}"}, "textfile": "/tmp/x.prom"}),
        )
    )

    assert release.config["metrics"] == {
        "pushgateway": {"url": "${PUSH}", "job": "mirror", "grouping": GROUPING},
        "textfile": "/tmp/x.prom",
    }


@pytest.mark.parametrize("where", ["metrics.pushgateway", "config.metrics.pushgateway"])
@pytest.mark.parametrize("grouping", [{"cluster": "east"}, {}])
def test_the_users_grouping_stays(where: str, grouping: dict[str, str]) -> None:
    release = render(merged(values(), at(where, {"url": "http://push:9091", "grouping": grouping})))

    assert release.config["metrics"]["pushgateway"]["grouping"] == grouping


@pytest.mark.parametrize(
    "variable", [{"value": "http://push:9091"}, {"valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]
)
def test_a_pushgateway_named_by_a_variable_is_grouped_too(variable: dict[str, object]) -> None:
    release = render(values(env=[{"name": "OCYNC_PUSHGATEWAY_URL"} | variable]))

    assert release.config["metrics"] == {"pushgateway": {"grouping": GROUPING}}


def test_a_pushgateways_url_may_come_from_a_secret() -> None:
    secret = [{"secretRef": {"name": "creds"}}]
    release = render(merged(values(envFrom=secret), at("metrics.pushgateway.job", "mirror")))

    assert release.config["metrics"]["pushgateway"] == {"job": "mirror", "grouping": GROUPING}


def test_without_a_pushgateway_there_are_no_metrics_in_the_config() -> None:
    assert render(values()).config.keys() == CONFIG.keys() | {"global"}


def test_rendering_leaves_the_values_as_they_were() -> None:
    notes = render(merged(values(extraObjects=["kind: X\nmetadata: {}\nconfig: {{ toJson .Values.config }}"])))
    (extra,) = notes.all("X")

    assert extra["config"] == CONFIG
