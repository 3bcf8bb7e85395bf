from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.layout import index as indexes
from ocync.layout.index import REF_NAME, Entry
from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import Descriptor


def descriptor(seed: str) -> Descriptor:
    return Descriptor(media_type=media.OCI_MANIFEST, digest=Digest.of(seed.encode()), size=len(seed))


def entry(seed: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    annotations = {} if name is None else {"annotations": {REF_NAME: name}}
    made = descriptor(seed)
    return {"mediaType": made.media_type, "digest": str(made.digest), "size": made.size, **annotations, **more}


def index(*entries: Any, **more: Any) -> indexes.Index:
    return indexes.parse(json.dumps({"schemaVersion": 2, "manifests": list(entries), **more}).encode())


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        pytest.param("latest", "latest", id="a-tag"),
        pytest.param("docker.io/library/nginx:1.27", "1.27", id="full-reference"),
        pytest.param("localhost:5000/app:v1", "v1", id="full-reference-with-port"),
        pytest.param("app:v1@sha256:" + 64 * "a", "v1", id="tag-and-digest"),
        pytest.param("app@sha256:" + 64 * "a", None, id="digest-alone"),
        pytest.param("localhost:5000/app", None, id="port-and-no-tag"),
        pytest.param("no tag at all", None, id="spaces"),
        pytest.param(":v1", None, id="nothing-before-the-colon"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="no-name"),
    ],
)
def test_the_tag_of_an_entry_is_its_name_or_the_end_of_a_full_reference(name: str | None, tag: str | None) -> None:
    assert Entry(name=name, descriptor=descriptor("a")).tag == tag


def test_tags_come_in_the_order_of_the_file_and_once() -> None:
    made = index(entry("a", "v2"), entry("b", "v1"), entry("a", "host/app:v2"), entry("c"))

    assert made.tags() == ("v2", "v1")


def test_a_name_that_equals_the_tag_goes_before_a_full_reference() -> None:
    made = index(entry("a", "docker.io/library/app:v1"), entry("b", "v1"))

    assert made.find("v1") == descriptor("b")


def test_a_full_reference_is_found_by_its_tag() -> None:
    assert index(entry("a", "docker.io/library/app:v1"), entry("b", "v2")).find("v1") == descriptor("a")


def test_a_tag_that_is_not_there_is_none() -> None:
    assert index(entry("a", "v1")).find("v2") is None


def test_two_images_of_one_name_are_refused_rather_than_guessed() -> None:
    made = index(entry("a", "one/app:v1"), entry("b", "two/app:v1"))

    with pytest.raises(ValueError, match=r"2 images are called v1: 'one/app:v1' sha256:ca9781.*'two/app:v1'"):
        made.find("v1")


def test_the_same_image_listed_twice_under_a_name_is_that_image() -> None:
    assert index(entry("a", "v1"), entry("a", "v1")).find("v1") == descriptor("a")


def test_an_image_alone_and_without_a_name_is_latest() -> None:
    made = index(entry("a"), {"mediaType": "application/xml", "digest": "x", "size": 1})

    assert made.tags() == ("latest",)
    assert made.find("latest") == descriptor("a")
    assert made.find("v1") is None


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([entry("a"), entry("b")], id="two-without-names"),
        pytest.param([entry("a"), entry("b", "v1")], id="one-with-a-name"),
        pytest.param([entry("a", "a strange name")], id="another-name"),
    ],
)
def test_otherwise_latest_has_to_be_written(entries: list[Any]) -> None:
    made = index(*entries)

    assert "latest" not in made.tags()
    assert made.find("latest") is None


def test_entries_are_found_by_digest() -> None:
    made = index(entry("a"), entry("b", "v1"))

    assert made.describe(Digest.of(b"b")) == descriptor("b")
    assert made.describe(Digest.of(b"c")) is None


def test_moving_a_tag_replaces_its_entry_and_nothing_else() -> None:
    foreign = [
        entry("a", "v0", platform={"os": "linux", "architecture": "s390x"}, unknown=[1.5, None, "\ud800"]),
        {"mediaType": "application/xml", "digest": "blake3:xyz", "size": -1},
        entry("c"),
    ]
    before = index(foreign[0], entry("b", "v1", data="eA=="), *foreign[1:], annotations={"k": "v"}, extra=True)

    after = json.loads(before.pointing("v1", descriptor("new")) or b"")

    assert after == {
        "schemaVersion": 2,
        "manifests": [foreign[0], entry("new", "v1"), *foreign[1:]],
        "annotations": {"k": "v"},
        "extra": True,
    }


def test_a_new_tag_goes_to_the_end_also_for_an_image_that_has_one() -> None:
    after = json.loads(index(entry("a", "v1")).pointing("v2", descriptor("a")) or b"")

    assert after["manifests"] == [entry("a", "v1"), entry("a", "v2")]


def test_a_full_reference_that_ends_with_the_tag_is_left_alone() -> None:
    after = json.loads(index(entry("a", "host/app:v1")).pointing("v1", descriptor("b")) or b"")

    assert after["manifests"] == [entry("a", "host/app:v1"), entry("b", "v1")]


def test_several_entries_of_the_same_name_become_one() -> None:
    after = json.loads(index(entry("a", "v1"), entry("b"), entry("c", "v1")).pointing("v1", descriptor("c")) or b"")

    assert after["manifests"] == [entry("c", "v1"), entry("b")]


def test_a_tag_that_points_there_already_changes_nothing() -> None:
    assert index(entry("a", "v1", extra=1)).pointing("v1", descriptor("a")) is None


def test_the_type_of_an_artifact_is_written() -> None:
    artifact = Descriptor(
        media_type=media.OCI_MANIFEST, digest=Digest.of(b"a"), size=1, artifact_type="application/vnd.example"
    )

    after = json.loads(index().pointing("v1", artifact) or b"")

    assert after["manifests"] == [entry("a", "v1", artifactType="application/vnd.example")]


def test_a_list_that_go_left_out_is_empty() -> None:
    made = indexes.parse(b'{"schemaVersion": 2, "manifests": null}')

    assert made.tags() == ()
    assert json.loads(made.pointing("v1", descriptor("a")) or b"")["manifests"] == [entry("a", "v1")]


def test_the_index_of_an_empty_layout_is_read() -> None:
    assert indexes.parse(indexes.EMPTY).entries == ()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b" \n", "it is empty", id="blank"),
        pytest.param(b'{"manifests": [', "it is not JSON", id="cut-off"),
        pytest.param(b'{"manifests": [], "a": "\xff"}', "it is not JSON", id="not-utf-8"),
        pytest.param(b'{"manifests": [], "a": NaN}', "NaN is not a JSON number", id="nan"),
        pytest.param(b'{"manifests": [], "a": 1e999}', "1e999 is too large", id="infinite"),
        pytest.param(b'{"a": ' * 100_000, "it is nested too deeply", id="deep"),
        pytest.param(b"[]", "it is not a JSON object", id="list"),
        pytest.param(b"{}", "it has no field manifests", id="no-manifests"),
        pytest.param(b'{"manifests": {}}', "manifests is not a list", id="manifests-an-object"),
        pytest.param(b'{"manifests": [[]]}', r"manifests\[0\] is not an object", id="entry-a-list"),
        pytest.param(b'{"manifests": [{"mediaType": 1}]}', r"mediaType is not a string", id="media-type"),
        pytest.param(b'{"manifests": [{"size": true}]}', r"size is not a number of bytes", id="size-bool"),
        pytest.param(b'{"manifests": [{"size": -1}]}', r"size is not a number of bytes", id="size-negative"),
        pytest.param(b'{"manifests": [{"size": 1}]}', r"digest is not a string", id="no-digest"),
        pytest.param(
            b'{"manifests": [{"size": 1, "digest": "sha256:../../etc/passwd"}]}',
            r"manifests\[0\]\.digest: .* is not a digest",
            id="traversal",
        ),
    ],
)
def test_what_is_wrong_is_said(raw: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        indexes.parse(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(REF_NAME),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["manifests", "mediaType", "size", "digest", "annotations", REF_NAME]) | st.text(),
            inner,
            max_size=5,
        )
    ),
)


@given(st.binary())
def test_any_bytes_are_an_index_or_a_value_error(raw: bytes) -> None:
    try:
        indexes.parse(raw)
    except ValueError as error:
        assert str(error)


@given(st.fixed_dictionaries({"manifests": st.lists(JSON)}) | JSON)
def test_any_json_is_an_index_or_a_value_error(body: Any) -> None:
    try:
        made = indexes.parse(json.dumps(body).encode())
    except ValueError as error:
        assert str(error)
    else:
        assert set(made.tags()) >= {found.name for found in made.entries if found.name == "v1"}


ENTRIES = st.lists(
    st.builds(
        entry,
        st.sampled_from("abc"),
        st.none() | st.sampled_from(["v1", "v2", "host/app:v1", "latest"]),
        extra=JSON.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value)),
    )
)


@given(ENTRIES, st.sampled_from(["v1", "latest", "new"]), st.sampled_from("abcd"))
def test_after_pointing_the_tag_is_found_and_all_others_are_as_before(
    entries: list[Any], tag: str, seed: str
) -> None:
    before = index(*entries)
    changed = before.pointing(tag, descriptor(seed))
    after = before if changed is None else indexes.parse(changed)

    assert after.find(tag) == descriptor(seed)
    assert [other for other in after.body["manifests"] if other.get("annotations") != {REF_NAME: tag}] == [
        other for other in entries if other.get("annotations") != {REF_NAME: tag}
    ]
    assert after.pointing(tag, descriptor(seed)) is None
