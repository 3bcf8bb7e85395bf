import base64
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.report.gateway_url import group_path


@pytest.mark.parametrize(
    ("job", "grouping", "path"),
    [
        pytest.param("ocync", {}, "/metrics/job/ocync", id="a job"),
        pytest.param(
            "ocync",
            {"release": "mirror", "namespace": "tools"},
            "/metrics/job/ocync/namespace/tools/release/mirror",
            id="labels in order",
        ),
        pytest.param("a b", {"x": "ü&?"}, "/metrics/job/a%20b/x/%C3%BC%26%3F", id="quoted"),
        pytest.param("a/b", {}, "/metrics/job@base64/YS9i", id="a slash"),
        pytest.param("j", {"x": ""}, "/metrics/job/j/x@base64/=", id="nothing"),
        pytest.param("j", {"x": ".."}, "/metrics/job/j/x@base64/Li4=", id="what a path would resolve"),
        pytest.param("j", {"job": "other"}, "/metrics/job/j", id="a second job"),
    ],
)
def test_a_group_has_a_path(job: str, grouping: dict[str, str], path: str) -> None:
    assert group_path(job, grouping) == path


@given(st.text(min_size=1), st.dictionaries(st.from_regex(r"\A[a-z_]{1,8}\Z"), st.text(), max_size=4))
def test_every_value_can_be_read_back_from_the_path(job: str, grouping: dict[str, str]) -> None:
    parts = group_path(job, grouping).split("/")[2:]
    found = {}
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        label, encoded, _ = name.partition("@")
        found[label] = base64.urlsafe_b64decode(value.rstrip("=") + "==").decode() if encoded else unquote(value)
    assert found == {**grouping, "job": job}
