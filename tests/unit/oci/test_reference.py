"""References to images and addresses of registries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.oci.digest import Digest
from ocync.oci.reference import Reference, Registry, RepositoryName, is_repository, is_tag

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"

HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?(\.[a-z][a-z0-9]{0,4}){1,2}(:[1-9][0-9]{2})?", fullmatch=True),
    st.sampled_from(["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "[2001:db8::1]"]),
).filter(lambda host: "docker" not in host)
REPOSITORIES = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,2})[a-z0-9]+)?(/[a-z0-9]+){0,2}", fullmatch=True)
TAGS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True)


def suffix(tag: str | None, digest: Digest | None) -> str:
    return (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


@given(
    host=HOSTS,
    repository=REPOSITORIES,
    tag=st.none() | TAGS,
    digest=st.none() | st.just(Digest.parse(DIGEST)),
    scheme=st.sampled_from(["", "https://", "http://"]),
)
def test_a_reference_is_taken_apart(
    host: str, repository: str, tag: str | None, digest: Digest | None, scheme: str
) -> None:
    reference = Reference.parse(f"{scheme}{host}/{repository}{suffix(tag, digest)}")

    assert reference.registry == Registry(host, "http" if scheme == "http://" else "https")
    assert (reference.repository.path, reference.tag, reference.digest) == (repository, tag, digest)
    assert str(reference) == f"{host}/{repository}{suffix(tag, digest)}"
    assert reference.reference == str(digest or tag or "latest")


@given(repository=REPOSITORIES, tag=st.none() | TAGS, folder=st.sampled_from([".", "./mirror", "/srv/a@b:c", "/"]))
def test_a_layout_reference_is_written_so_that_it_reads_the_same(
    repository: str, tag: str | None, folder: str
) -> None:
    name = repository.partition("/")[0]

    reference = Reference.parse(f"oci:{folder.rstrip('/')}/{name}{suffix(tag, None)}")

    assert (reference.registry, reference.folder, reference.repository.path, reference.tag) == (
        None,
        folder,
        name,
        tag,
    )
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1", "docker.io/library/nginx:1"),
        ("library/nginx", "docker.io/library/nginx"),
        ("bitnami/redis:7", "docker.io/bitnami/redis:7"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx"),
        ("registry-1.docker.io/a/b", "docker.io/a/b"),
        ("https://Docker.IO/nginx", "docker.io/library/nginx"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}"),
        ("CGR.dev/chainguard/static:latest", "cgr.dev/chainguard/static:latest"),
        ("localhost/app", "localhost/app"),
        ("registry:5000/app", "registry:5000/app"),
        ("http://registry/app", "registry/app"),
        ("oci:static", "oci:./static"),
        ("oci:./mirror/static/", "oci:./mirror/static"),
        ("oci:./mirror/static:1/", "oci:./mirror/static:1"),
        ("oci:/static", "oci:/static"),
    ],
)
def test_short_forms_are_filled_in(text: str, written: str) -> None:
    assert str(Reference.parse(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" nginx", id="a blank"),
        pytest.param("Nginx", id="upper case"),
        pytest.param("cgr.dev/", id="no repository"),
        pytest.param("https://cgr.dev", id="a registry alone"),
        pytest.param("https://http://cgr.dev/a", id="two schemes"),
        pytest.param("cgr.dev/a:", id="an empty tag"),
        pytest.param("cgr.dev/a:b c", id="a blank in the tag"),
        pytest.param("cgr.dev/a:" + "t" * 129, id="a long tag"),
        pytest.param("cgr.dev/a:-x", id="a tag that begins with a dash"),
        pytest.param("cgr.dev/a@", id="an empty digest"),
        pytest.param("cgr.dev/a@sha256:abc", id="a short digest"),
        pytest.param("cgr.dev/a//b", id="an empty part"),
        pytest.param("cgr.dev/../a", id="a part of dots"),
        pytest.param("cgr.dev/a?b", id="a query"),
        pytest.param("cgr.dev/a%2fb", id="a percent sign"),
        pytest.param("cgr.dev/a\n", id="a line end"),
        pytest.param("cgr.dev/" + "a" * 256, id="a long repository"),
        pytest.param("cgr.dev:99999/a", id="a port that is none"),
        pytest.param("cgr..dev/a", id="an empty label"),
        pytest.param("[::1/a", id="half an address"),
        pytest.param("oci:", id="a layout without a name"),
        pytest.param("oci:./mirror/..", id="a layout whose name is a way up"),
        pytest.param("oci:./mir\0ror/a", id="a layout with a zero byte"),
    ],
)
def test_other_texts_are_no_references(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Reference.parse(text)


@pytest.mark.parametrize("parse", [Reference.parse, Registry.parse])
@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@cgr.dev/a/b:1",
        "user:hunter2@cgr.dev/a",
        "https://user:hun/hunter2@cgr.dev/a",
        "https://user:p@hunter2@cgr.dev/a",
        "https://user:hunter2@cgr.dev",
        "user:hunter2@cgr.dev",
        "user:p@hunter2@cgr.dev",
        "http://hunter2@cgr.dev/a:b c",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(parse: object, text: str) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match=r".+") as caught:
        parse(text)

    assert "hunter2" not in str(caught.value)


@given(text=st.text(alphabet="aA1.:/@_-[] \nsh256docker\u00e9", max_size=30))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert reference.registry is not None
        assert is_repository(reference.repository.path)
        assert reference.tag is None or is_tag(reference.tag)
        assert Reference.parse(str(reference)).repository == reference.repository


@pytest.mark.parametrize("text", ["oci:" + "x/" * 5, "oci:a:b:c", "oci:@", "oci:a@b"])
def test_odd_layout_references_never_fail_otherwise(text: str) -> None:
    try:
        assert Reference.parse(text).registry is None
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "registry", "api"),
    [
        ("cgr.dev", Registry("cgr.dev"), "https://cgr.dev"),
        (" CGR.dev/ ", Registry("cgr.dev"), "https://cgr.dev"),
        ("https://cgr.dev", Registry("cgr.dev"), "https://cgr.dev"),
        ("http://127.0.0.1:5000", Registry("127.0.0.1:5000", "http"), "http://127.0.0.1:5000"),
        ("HTTP://registry:5000/", Registry("registry:5000", "http"), "http://registry:5000"),
        ("[::1]:5000", Registry("[::1]:5000"), "https://[::1]:5000"),
        ("docker.io", Registry("docker.io"), "https://registry-1.docker.io"),
        ("registry.hub.docker.com", Registry("docker.io"), "https://registry-1.docker.io"),
        ("ghcr.io/acme/mirror", Registry("ghcr.io", prefix="acme/mirror"), "https://ghcr.io"),
    ],
)
def test_a_registry_is_read_with_scheme_port_and_prefix(text: str, registry: Registry, api: str) -> None:
    assert Registry.parse(text) == registry
    assert Registry.parse(text).api == api


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "cgr.dev/v2",
        "cgr.dev/v2/",
        "cgr.dev/V2",
        "cgr.dev:",
        "cgr.dev:0",
        "cgr.dev:65536",
        "cgr.dev:5000x",
        "-cgr.dev",
        "cgr.dev-",
        "cgr..dev",
        "a" * 64 + ".dev",
        ".".join(["abcdefg"] * 40),
        "[::g]",
        "[1:2:3]",
        "ftp://cgr.dev",
        "cgr.dev?x",
        "cgr.dev#x",
        "cgr .dev",
        "cgr.dev\r\nX-Evil: 1",
        "m\u00fcller.de",
    ],
)
def test_other_texts_are_no_registries(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Registry.parse(text)


@given(text=st.text(alphabet="aA1.:/_-[]htp \n\u0661", max_size=20))
def test_any_text_is_a_registry_or_refused(text: str) -> None:
    try:
        registry = Registry.parse(text)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert registry.host == registry.host.lower()
        assert Registry.parse(f"{registry.scheme}://{registry.host}/{registry.prefix}") == registry


@pytest.mark.parametrize(
    ("registry", "name", "full"),
    [
        ("docker.io", "nginx", "library/nginx"),
        ("docker.io", "bitnami/redis", "bitnami/redis"),
        ("docker.io/acme", "nginx", "acme/nginx"),
        ("ghcr.io/acme/mirror", "nginx", "acme/mirror/nginx"),
        ("cgr.dev", "static", "static"),
    ],
)
def test_a_registry_names_its_repositories(registry: str, name: str, full: str) -> None:
    assert Registry.parse(registry).repository(name).path == full


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("ghcr.io", "ghcr.io"),
        ("GHCR.io:443", "ghcr.io"),
        ("https://ghcr.io:443/acme", "ghcr.io"),
        ("http://ghcr.io:80", "ghcr.io"),
        ("http://ghcr.io:443", "ghcr.io:443"),
        ("ghcr.io:80", "ghcr.io:80"),
        ("ghcr.io:8443", "ghcr.io:8443"),
        ("[::1]:443", "[::1]"),
        ("registry-1.docker.io:443", "docker.io"),
    ],
)
def test_spellings_of_one_registry_have_one_canonical_form(text: str, canonical: str) -> None:
    assert Registry.parse(text).canonical == canonical


def test_names_of_one_repository_are_equal_however_its_registry_is_written() -> None:
    name = Registry.parse("https://ghcr.io:443/acme").repository("app")

    assert name == Registry.parse("GHCR.io").repository("acme/app") == RepositoryName("ghcr.io", "acme/app")
    assert name != Registry.parse("ghcr.io:8443").repository("acme/app")
    assert str(name) == "ghcr.io/acme/app"
    assert RepositoryName.in_folder("./mirror/", "app") == RepositoryName.in_folder("mirror", "app")
    assert str(RepositoryName.in_folder("/", "app")) == "oci:/app"
