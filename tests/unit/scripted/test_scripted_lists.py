"""Tags and referrers in pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from scripted import ScriptedRegistry, build, media
from scripted.behaviour import LINKS

if TYPE_CHECKING:
    import httpx

TAGS = [f"1.{number}" for number in range(10, 17)]


def seeded(registry: ScriptedRegistry) -> ScriptedRegistry:
    image = build.image()
    for tag in TAGS:
        registry.seed("a/b", tag, image)
    return registry


LINK = re.compile(r'<([^>]*)>((?:\s*;\s*\w+=(?:"(?:\\.|[^"\\])*"|[^",;\s]+))*)')
RELATION = re.compile(r'\brel="?([^"]*)', re.IGNORECASE)


def next_of(answer: httpx.Response) -> str | None:
    """Return the URL of the next page (RFC 8288)."""
    for target, parameters in LINK.findall(", ".join(answer.headers.get_list("link"))):
        if any("next" in value.split() for value in RELATION.findall(parameters)):
            return str(answer.url.join(target))
    return None


async def follow(client: httpx.AsyncClient, url: str | None) -> list[list[str]]:
    """Return the pages of a tag list."""
    pages = []
    while url is not None:
        answer = await client.get(url)
        assert answer.status_code == 200
        pages.append(answer.json()["tags"])
        url = next_of(answer)
    return pages


async def test_all_tags_come_at_once_and_in_order(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        answer = await client.get(f"{seeded(registry).url}/v2/a/b/tags/list")
        assert answer.json() == {"name": "a/b", "tags": TAGS}
        assert "link" not in answer.headers


@pytest.mark.parametrize("form", [form for form in LINKS if form not in ("none", "other-host")])
async def test_pages_are_linked_in_every_form(client: httpx.AsyncClient, form: str) -> None:
    async with ScriptedRegistry(link=form) as registry:
        pages = await follow(client, f"{seeded(registry).url}/v2/a/b/tags/list?n=3")
        assert pages == [TAGS[:3], TAGS[3:6], TAGS[6:]]


async def test_a_link_can_lead_to_another_host(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(link="other-host") as registry:
        answer = await client.get(f"{seeded(registry).url}/v2/a/b/tags/list?n=3")
        assert answer.headers["link"].startswith("<http://127.0.0.1:")
        assert registry.host not in answer.headers["link"]


async def test_without_links_pages_go_on_by_last(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry(link="none") as registry:
        base = f"{seeded(registry).url}/v2/a/b/tags/list?n=4"
        answer = await client.get(base)
        assert (answer.json()["tags"], "link" in answer.headers) == (TAGS[:4], False)
        assert (await client.get(f"{base}&last={TAGS[3]}")).json()["tags"] == TAGS[4:]


@pytest.mark.parametrize(
    ("options", "query", "status", "count"),
    [
        pytest.param({"page_size": 2}, "", 200, 2, id="pages that nobody asked for"),
        pytest.param({"page_size": 2}, "?n=1000", 200, 2, id="n is clamped"),
        pytest.param({"page_limit": 100}, "?n=1000", 400, 0, id="n is refused"),
        pytest.param({}, "?n=x", 400, 0, id="n is no number"),
        pytest.param({}, "?n=0", 200, 0, id="n is nothing"),
        pytest.param({}, "?last=zzz", 200, 0, id="after the end"),
        pytest.param({}, "?n=7", 200, 7, id="just all of them"),
    ],
)
async def test_sizes_of_pages(
    client: httpx.AsyncClient, options: dict[str, Any], query: str, status: int, count: int
) -> None:
    async with ScriptedRegistry(**options) as registry:
        answer = await client.get(f"{seeded(registry).url}/v2/a/b/tags/list{query}")
        assert answer.status_code == status
        assert len(answer.json().get("tags", [])) == count


async def test_no_repository_has_no_list(client: httpx.AsyncClient) -> None:
    async with ScriptedRegistry() as registry:
        assert (await client.get(f"{registry.url}/v2/a/b/tags/list")).status_code == 404
        registry.repository("a/b")
        assert (await client.get(f"{registry.url}/v2/a/b/tags/list")).json()["tags"] == []


async def test_referrers_are_listed_with_type_and_annotations(client: httpx.AsyncClient) -> None:
    subject = build.image()
    signature = build.artifact("application/x-signature", subject=subject, annotations={"by": "me"})
    plain = build.image(subject=subject, label="plain")
    index = build.index([plain], subject=subject, artifact_type="application/x-index")
    async with ScriptedRegistry() as registry:
        for image in (subject, signature, plain, index):
            registry.seed("a/b", None, image)
        answer = await client.get(f"{registry.url}/v2/a/b/referrers/{subject.digest}")
        assert answer.headers["content-type"] == media.OCI_INDEX
        found = {entry["digest"]: entry for entry in answer.json()["manifests"]}
        assert found == {
            signature.digest: {
                **signature.descriptor,
                "artifactType": "application/x-signature",
                "annotations": {"by": "me"},
            },
            plain.digest: {**plain.descriptor, "artifactType": media.OCI_CONFIG},
            index.digest: {**index.descriptor, "artifactType": "application/x-index"},
        }


async def test_referrers_are_filtered_where_that_is_on(client: httpx.AsyncClient) -> None:
    subject = build.image()
    async with ScriptedRegistry() as registry:
        for kind in ("application/a", "application/b"):
            registry.seed("a/b", None, build.artifact(kind, subject=subject))
        url = f"{registry.url}/v2/a/b/referrers/{subject.digest}?artifactType=application/a"
        answer = await client.get(url)
        assert (answer.headers["oci-filters-applied"], len(answer.json()["manifests"])) == ("artifactType", 1)
        registry.behaviour.referrers_filter = False
        answer = await client.get(url)
        assert ("oci-filters-applied" in answer.headers, len(answer.json()["manifests"])) == (False, 2)


async def test_referrers_come_in_pages_that_keep_the_filter(client: httpx.AsyncClient) -> None:
    subject = build.image()
    async with ScriptedRegistry(page_size=2) as registry:
        for kind in ("a/x", "a/y"):
            for number in range(5):
                registry.seed("a/b", None, build.artifact(kind, [b"%d" % number], subject=subject))
        url: str | None = f"{registry.url}/v2/a/b/referrers/{subject.digest}?artifactType=a/x"
        pages = []
        while url is not None:
            answer = await client.get(url)
            pages.append([entry["digest"] for entry in answer.json()["manifests"]])
            url = next_of(answer)
        assert [len(page) for page in pages] == [2, 2, 1]
        assert len({digest for page in pages for digest in page}) == 5


@pytest.mark.parametrize(
    ("options", "digest", "status"),
    [
        pytest.param({}, "sha256:" + "0" * 64, 200, id="an unknown subject has none"),
        pytest.param({}, "nonsense", 400, id="not a digest"),
        pytest.param({"referrers": False}, "sha256:" + "0" * 64, 404, id="no API"),
    ],
)
async def test_referrers_of_others(
    client: httpx.AsyncClient, options: dict[str, Any], digest: str, status: int
) -> None:
    async with ScriptedRegistry(**options) as registry:
        answer = await client.get(f"{registry.url}/v2/a/b/referrers/{digest}")
        assert answer.status_code == status
        if status == 200:
            assert answer.json()["manifests"] == []
