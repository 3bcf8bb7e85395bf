"""What runs ocync in each mode, and what holds for runs that fail, hang or are stopped."""

from __future__ import annotations

import pytest

from chart.rendering import at, merged, render, values

SYNC = ["sync", "--config", "/etc/ocync/config.yaml", "--log-format", "text", "--grace-period", "50"]
SCHEDULE = ["--schedule", "0 */6 * * *"]


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("cronjob", {"ConfigMap", "CronJob", "ServiceAccount"}),
        ("job", {"ConfigMap", "Job", "ServiceAccount"}),
        ("watch", {"ConfigMap", "Deployment", "Service", "ServiceAccount"}),
    ],
)
def test_a_mode_makes_its_objects_and_no_others(mode: str, kinds: set[str]) -> None:
    release = render(values(mode=mode))

    assert {each["kind"] for each in release.objects} == kinds | {"Pod"}
    assert release.all("Pod") == []


def test_a_cronjob_is_the_default() -> None:
    assert render(values()).workload["kind"] == "CronJob"


def test_a_cronjob_never_runs_twice_at_once_and_keeps_its_last_runs() -> None:
    spec = render(values()).workload["spec"]

    assert {key: value for key, value in spec.items() if key != "jobTemplate"} == {
        "schedule": "0 */6 * * *",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 3600,
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
    }


@pytest.mark.parametrize("mode", ["cronjob", "job"])
def test_a_run_is_limited_in_time_and_tries_by_default(mode: str) -> None:
    job = render(values(mode=mode)).job

    assert job["activeDeadlineSeconds"] == 21600
    assert job["backoffLimit"] == 1
    assert "ttlSecondsAfterFinished" not in job
    assert job["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("mode", ["cronjob", "job"])
def test_wrong_configuration_and_credentials_fail_a_run_at_once_and_an_eviction_does_not_count(mode: str) -> None:
    evicted, hopeless = render(values(mode=mode)).job["podFailurePolicy"]["rules"]

    assert evicted == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert hopeless["action"] == "FailJob"
    assert hopeless["onExitCodes"] == {"containerName": "ocync", "operator": "In", "values": [3, 4]}


def test_the_failure_policy_can_be_replaced() -> None:
    rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}]

    job = render(merged(values(), at("job.podFailurePolicy.rules", rules))).job

    assert job["podFailurePolicy"] == {"rules": rules}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("job.activeDeadlineSeconds", "activeDeadlineSeconds"),
        ("job.podFailurePolicy", "podFailurePolicy"),
    ],
)
def test_a_limit_of_the_job_can_be_taken_away(path: str, field: str) -> None:
    assert field not in render(merged(values(), at(path, None))).job


def test_a_deadline_of_zero_is_no_deadline() -> None:
    release = render(merged(values(), at("job.activeDeadlineSeconds", 0)))

    assert "activeDeadlineSeconds" not in release.job
    assert "deadline" not in release.config["global"]


def test_a_job_may_vanish_as_soon_as_it_is_done() -> None:
    job = render(merged(values(mode="job"), at("job.ttlSecondsAfterFinished", 0))).job

    assert job["ttlSecondsAfterFinished"] == 0


def test_large_numbers_stay_whole() -> None:
    release = render("config: {registries: {a: {url: b}}}\njob: {activeDeadlineSeconds: 100000000}")

    assert release.job["activeDeadlineSeconds"] == 100_000_000
    assert release.config["global"]["deadline"] == "99999880s"


@pytest.mark.parametrize(("mode", "more"), [("cronjob", SCHEDULE), ("job", [])])
def test_a_run_gets_exactly_these_arguments(mode: str, more: list[str]) -> None:
    assert render(values(mode=mode)).container["args"] == [*SYNC, *more]


@pytest.mark.parametrize(
    "schedule", ["*/5 * * * *", "@hourly", "@every 90m", "0 3 ? jan-MAR,12 MON", "*  *\t* * *"]
)
def test_a_run_is_told_the_schedule_of_its_cronjob_word_for_word(schedule: str) -> None:
    release = render(merged(values(), at("cronjob.schedule", schedule)))

    assert release.workload["spec"]["schedule"] == schedule
    assert release.container["args"][-2:] == ["--schedule", schedule]


def test_watch_gets_exactly_these_arguments() -> None:
    health = ["--interval", "300", "--health-port", "8080", "--health-bind", "0.0.0.0"]

    assert render(values(mode="watch")).container["args"] == ["watch", *SYNC[1:], *health]


def test_extra_arguments_come_last_and_so_win() -> None:
    args = render(values(extraArgs=["-v", "--grace-period", 5])).container["args"]

    assert args == [*SYNC, *SCHEDULE, "-v", "--grace-period", "5"]


@pytest.mark.parametrize(("pod", "ocync"), [(300, "290"), (60, "50"), (30, "20"), (10, "5"), (1, "1")])
def test_images_in_flight_get_the_grace_of_the_pod_less_what_the_report_needs(pod: int, ocync: str) -> None:
    release = render(values(terminationGracePeriodSeconds=pod))

    assert release.template["spec"]["terminationGracePeriodSeconds"] == pod
    assert f"--grace-period {ocync} " in " ".join(release.container["args"])


def test_the_summary_of_a_run_is_in_its_termination_message_or_else_the_end_of_its_log() -> None:
    assert render(values()).container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_runs_have_neither_ports_nor_probes() -> None:
    assert not {"ports", "livenessProbe", "readinessProbe"} & render(values()).container.keys()


def test_watch_is_probed_at_the_port_that_its_service_names() -> None:
    release = render(merged(values(mode="watch"), at("watch.healthPort", 9000)))
    container = release.container

    assert container["ports"] == [{"name": "health", "containerPort": 9000, "protocol": "TCP"}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert release.one("Service")["spec"]["ports"][0]["targetPort"] == "health"


def test_there_are_never_two_watchers_at_once() -> None:
    spec = render(values(mode="watch")).workload["spec"]

    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    assert "restartPolicy" not in spec["template"]["spec"]


def test_deployment_and_service_select_the_watcher_and_not_the_test_pod() -> None:
    release = render(values(mode="watch", podLabels={"app.kubernetes.io/name": "other"}))
    (test_pod,) = [each for each in release.objects if each["kind"] == "Pod"]
    selector = release.one("Service")["spec"]["selector"]

    assert release.workload["spec"]["selector"]["matchLabels"] == selector
    assert selector.items() <= release.template["metadata"]["labels"].items()
    assert not selector.items() <= test_pod["metadata"]["labels"].items()


def test_a_changed_configuration_restarts_the_watcher() -> None:
    def checksum(interval: str) -> str:
        changed = at("config.global.cache_ttl", interval)
        annotations = render(merged(values(mode="watch"), changed)).template["metadata"]["annotations"]
        return annotations["checksum/config"]

    assert checksum("1h") != checksum("2h")
    assert checksum("1h") == checksum("1h")


def test_runs_need_no_checksum_since_each_reads_its_configuration_anew() -> None:
    assert "annotations" not in render(values()).template["metadata"]


def test_annotations_reach_only_the_kind_they_are_for() -> None:
    kinds = {"deploymentAnnotations": "watch", "cronJobAnnotations": "cronjob", "jobAnnotations": "job"}
    annotations = {key: {key: "yes"} for key in kinds}

    for key, mode in kinds.items():
        assert render(values(mode=mode, **annotations)).workload["metadata"]["annotations"] == {key: "yes"}


def test_a_job_is_replaced_when_what_it_runs_changes_and_only_then() -> None:
    def name(**changes: object) -> str:
        return render(merged(values(mode="job"), *(at(path, value) for path, value in changes.items()))).workload[
            "metadata"
        ]["name"]

    assert name() == name()
    assert name() == name(fullnameOverride="mirror-ocync")
    changed = [{}, {"logging.format": "json"}, {"config.global.cache_ttl": "1h"}, {"job.backoffLimit": 0}]
    assert len({name(**change) for change in changed}) == len(changed)


def test_helm_test_asks_the_registries_with_the_credentials_of_a_run() -> None:
    release = render(values(envFrom=[{"secretRef": {"name": "creds"}}]))
    (pod,) = [each for each in release.objects if each["kind"] == "Pod"]
    (container,) = pod["spec"]["containers"]

    assert container["args"] == ["auth", "check", "--config", "/etc/ocync/config.yaml"]
    assert container["envFrom"] == release.container["envFrom"]
    assert container["image"] == release.container["image"]
