"""What the user reads after an installation."""

from __future__ import annotations

from typing import Any

import pytest

from chart.rendering import at, is_test, merged, render, values

WARNED = "Look at this again:"


def test_the_notes_of_a_cronjob_tell_how_to_run_now_and_how_to_read_the_last_run() -> None:
    notes = render(values()).notes

    # By another name each time: a Job stays until the history limits have it deleted.
    assert "run=mirror-ocync-$(date +%s)" in notes
    assert "kubectl create job -n images --from=cronjob/mirror-ocync $run" in notes
    # kubectl refuses to show the log of a container that has not started yet.
    assert "until kubectl logs -n images job/$run -f; do" in notes
    assert "state.terminated.message" in notes
    assert "3 the configuration is wrong" in notes


def test_the_pod_of_helm_test_stays_for_its_log_to_be_read() -> None:
    release = render(values())

    assert "helm test mirror -n images --logs" in release.notes
    (pod,) = [each for each in release.objects if is_test(each)]
    # Helm 3 deletes hooks that have succeeded before it asks for their logs, and fails for want of them.
    assert pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"


def test_the_notes_of_a_job_name_the_job_that_was_made() -> None:
    release = render(values(mode="job"))

    assert f"job/{release.workload['metadata']['name']} -f" in release.notes


def test_the_notes_of_a_watcher_tell_how_to_follow_it() -> None:
    notes = render(values(mode="watch")).notes

    assert "kubectl logs -n images deployment/mirror-ocync -f" in notes
    assert "cronjob" not in notes


def test_the_defaults_are_nothing_to_warn_of() -> None:
    assert WARNED not in render(values()).notes


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        (at("config.mappings", []), "config has no mappings"),
        (at("config.registries.dst.token", "${A}"), "neither env nor envFrom sets any"),
        (at("env", [{"name": "GITHUB_TOKEN", "value": "hunter2"}]), "env.GITHUB_TOKEN is written out"),
        (at("config.registries.dst.tls.insecure_skip_verify", True), "dst.tls.insecure_skip_verify"),
        (at("cronjob.concurrencyPolicy", "Allow"), "concurrencyPolicy Allow"),
        (at("cronjob.suspend", True), "nothing runs until"),
        (at("job.activeDeadlineSeconds", 0), "a run that hangs"),
        (at("image.tag", "latest"), "image.tag latest"),
        (at("image.repository", "public.ecr.aws/clowdhaus/ocync"), "leave image unset"),
        (at("secretProviderClass", {"enabled": True, "provider": "aws"}), "no entry of extraVolumes mounts it"),
        (at("securityContext.readOnlyRootFilesystem", False), "weaker than the default"),
        (
            {
                "workloadIdentity": {"provider": "aws", "aws": {"roleArn": "arn:x"}},
                "serviceAccount": {"create": False},
            },
            "serviceAccount.create is false",
        ),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_risky_choice_is_pointed_out(more: dict[str, Any], warning: str) -> None:
    notes = render(merged(values(), more)).notes

    assert warning in notes.partition(WARNED)[2]
    assert "hunter2" not in notes


def test_a_file_named_in_the_environment_is_no_secret() -> None:
    env = [{"name": "TOKEN_FILE", "value": "/run/token"}, {"name": "TOKEN", "valueFrom": {"secretKeyRef": {}}}]

    assert WARNED not in render(values(env=env)).notes
