"""Where tokens may be asked for."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import ProtocolError
from ocync.oci.reference import Registry
from ocync.registry.auth.realm import locate
from ocync.registry.auth.scope import Scope
from ocync.registry.auth.token import TokenService, get_request


def located(realm: str, registry: str = "registry.example") -> str:
    parsed = Registry.parse(registry)
    return locate(realm, f"{parsed.api}/v2/", parsed)


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("docker.io", "https://auth.docker.io/token"),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth"),
        ("lscr.io", "https://ghcr.io/token"),
        ("nvcr.io", "https://nvcr.io/proxy_auth?scope=repository:nvidia/tensorflow:pull,push"),
        ("registry.example", "https://tokens.example:8443/token"),
        ("registry.example", "https://8.8.8.8/token"),
        ("registry.example", "https://1password.example/token"),
        ("registry.example", "https://[2606:4700::1111]/token"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
        ("http://127.0.0.1:5000", "https://auth.example/token"),
        ("http://localhost:5000", "http://127.0.0.1:5001/token"),
        ("http://[::1]:5000", "http://[::1]:5001/token"),
        ("10.0.0.1", "https://10.0.0.2/token"),
        ("10.0.0.1", "https://10.0.0.1:444/token"),
        ("127.0.0.1:5000", "https://10.0.0.2/token"),
        ("169.254.10.1:5000", "https://169.254.10.1/token"),
    ],
)
def test_a_token_service_may_be_elsewhere(registry: str, realm: str) -> None:
    assert located(realm, registry) == realm


@pytest.mark.parametrize(
    ("realm", "expected"),
    [
        ("/token", "https://registry.example/token"),
        ("token?x=1", "https://registry.example/v2/token?x=1"),
        ("//auth.example/token", "https://auth.example/token"),
        ("https://auth.example", "https://auth.example/"),
        (" https://auth.example/token#fragment", "https://auth.example/token"),
        ("HTTPS://AUTH.example/Token", "https://AUTH.example/Token"),
    ],
)
def test_a_realm_is_relative_to_what_answered(realm: str, expected: str) -> None:
    assert located(realm) == expected


@pytest.mark.parametrize(
    ("realm", "why"),
    [
        ("http://registry.example/token", "without TLS"),
        ("http://auth.example/token", "without TLS"),
        ("https://user:pass@auth.example/token", "a user name in its URL"),
        ("https://@auth.example/token", "a user name in its URL"),
        ("https://127.0.0.1/token", "belongs to this machine or its network"),
        ("https://127.1/token", "belongs to"),
        ("https://2130706433/token", "belongs to"),
        ("https://0x7f000001/token", "belongs to"),
        ("https://0177.0.0.1/token", "belongs to"),
        ("https://[::1]/token", "belongs to"),
        ("https://[::ffff:127.0.0.1]/token", "belongs to"),
        ("https://[64:ff9b::7f00:1]/token", "belongs to"),
        ("https://[2002:7f00:1::]/token", "belongs to"),
        ("https://0.0.0.0/token", "belongs to"),
        ("https://[::]/token", "belongs to"),
        ("https://localhost/token", "belongs to"),
        ("https://LOCALHOST./token", "belongs to"),
        ("https://api.localhost/token", "belongs to"),
        ("https://169.254.169.254/latest/meta-data/", "belongs to"),
        ("https://[fe80::1]/token", "belongs to"),
        ("https://[fd00:ec2::254]/token", "belongs to"),
        ("https://168.63.129.16/token", "belongs to"),
        ("https://100.100.100.200/token", "belongs to"),
        ("https://metadata.google.internal/token", "belongs to"),
        ("https://10.0.0.1/token", "belongs to"),
        ("https://192.168.1.1/token", "belongs to"),
        ("https://172.16.0.1:8080/token", "belongs to"),
        ("https://[fd12::1]/token", "belongs to"),
        ("https://100.64.0.1/token", "belongs to"),
        ("https://224.0.0.1/token", "belongs to"),
        ("ftp://auth.example/token", "no http URL"),
        ("file:///etc/passwd", "no http URL"),
        ("javascript:alert(1)", "no http URL"),
        ("https://auth.example:99999/", "no http URL"),
        ("https://auth.example:0/", "no http URL"),
        ("https://[::1", "no http URL"),
        ("https://auth example/", "no http URL"),
        ("https://auth.example/\r\nX-Evil: 1", "no http URL"),
        ("https://auth.éxample/", "no http URL"),
        ("https://a_b!.example/", "no http URL"),
        ("https://auth.example/" + "a" * 9000, "no http URL"),
    ],
)
def test_a_registry_can_not_send_us_anywhere(realm: str, why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as caught:
        located(realm)

    assert caught.value.host == "registry.example"
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("10.0.0.1", "https://127.0.0.1/token"),
        ("http://127.0.0.1:5000", "http://169.254.169.254/token"),
        ("http://localhost:5000", "http://metadata.google.internal/token"),
        ("8.8.8.8", "https://10.0.0.1/token"),
    ],
)
def test_a_registry_with_an_address_sends_us_no_further_inside(registry: str, realm: str) -> None:
    with pytest.raises(ProtocolError):
        located(realm, registry)


@given(st.text(max_size=100) | st.text("htps:/@.[]%?#127locahst ", max_size=40))
def test_any_realm_is_refused_or_can_be_asked(realm: str) -> None:
    registry = Registry.parse("registry.example")
    try:
        url = locate(realm, "https://registry.example/v2/", registry)
    except ProtocolError:
        return

    service = TokenService(url=url, service="s", host="registry.example")
    request = get_request(service, {Scope("a", ("pull",))}, user=None)
    assert request.url.scheme == "https"
    assert request.url.host == urlsplit(url).hostname
    assert not request.url.userinfo
