"""Names and labels: within every limit of Kubernetes, and apart where releases are."""

from __future__ import annotations

import pytest

from chart.rendering import chart, render, values

LONG = "a-very-long-release-name-as-some-pipelines-make-them"


@pytest.mark.parametrize(
    ("release", "more", "name"),
    [
        ("mirror", {}, "mirror-ocync"),
        ("ocync", {}, "ocync"),
        ("my-ocync-prod", {}, "my-ocync-prod"),
        ("mirror", {"nameOverride": "copy"}, "mirror-copy"),
        ("mirror", {"fullnameOverride": "exactly-this"}, "exactly-this"),
    ],
)
def test_a_release_names_its_objects(release: str, more: dict[str, object], name: str) -> None:
    rendered = render(values(**more), name=release)

    assert rendered.workload["metadata"]["name"] == name
    assert rendered.one("ConfigMap")["metadata"]["name"] == name
    assert rendered.one("ServiceAccount")["metadata"]["name"] == name
    assert rendered.template["spec"]["volumes"][0]["configMap"]["name"] == name


@pytest.mark.parametrize("mode", ["cronjob", "job", "watch"])
@pytest.mark.parametrize("length", range(40, 54))
def test_no_name_is_too_long_whatever_the_release_is_called(length: int, mode: str) -> None:
    name = (LONG + "xy")[:length].rstrip("-")
    release = render(values(mode=mode, nameOverride="another-quite-long-name"), name=name)

    for each in release.objects:
        assert len(each["metadata"]["name"]) <= (52 if each["kind"] == "CronJob" else 63)
        assert not each["metadata"]["name"].endswith("-")
        assert all(len(label) <= 63 for label in each["metadata"]["labels"].values())


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = {render(values(), name=f"{LONG}{end}").workload["metadata"]["name"] for end in ("1", "2")}

    assert len(names) == 2
    assert max(len(name) for name in names) <= 52


def test_common_labels_are_on_everything_and_replace_none_of_the_charts() -> None:
    release = render(values(mode="watch", commonLabels={"team": "x", "app.kubernetes.io/instance": "mine"}))

    for labels in [
        *(each["metadata"]["labels"] for each in release.objects),
        release.template["metadata"]["labels"],
    ]:
        assert labels["team"] == "x"
        assert labels["app.kubernetes.io/instance"] == "mirror"


def test_the_version_is_in_the_labels_of_objects_and_never_selects_pods() -> None:
    release = render(values(mode="watch"))

    assert release.workload["metadata"]["labels"]["app.kubernetes.io/version"] == chart().metadata["appVersion"]
    assert release.workload["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "ocync",
        "app.kubernetes.io/instance": "mirror",
    }


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, "ghcr.io/ocync/ocync:{version}"),
        ({"tag": "1.2"}, "ghcr.io/ocync/ocync:1.2"),
        ({"repository": "localhost/ocync", "tag": "test"}, "localhost/ocync:test"),
        ({"repository": "r.example.com:5000/a/b"}, "r.example.com:5000/a/b:{version}"),
        ({"digest": "sha256:ab"}, "ghcr.io/ocync/ocync@sha256:ab"),
        ({"tag": "1.2", "digest": "sha256:ab"}, "ghcr.io/ocync/ocync:1.2@sha256:ab"),
    ],
    ids=lambda case: case if isinstance(case, str) else None,
)
def test_the_image_is_the_charts_own_version_unless_told_otherwise(image: dict[str, str], reference: str) -> None:
    version = chart().metadata["appVersion"]

    assert render(values(image=image)).container["image"] == reference.format(version=version)
