"""Which proxy a request goes through."""

from __future__ import annotations

import pytest

from ocync.lib.errors import ConfigError
from ocync.registry.http.proxy import ProxyRules

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environ", "scheme", "host", "expected"),
    [
        pytest.param({}, "https", "cgr.dev", None, id="none"),
        pytest.param({"HTTPS_PROXY": PROXY}, "https", "cgr.dev", PROXY, id="https"),
        pytest.param({"HTTPS_PROXY": PROXY}, "http", "cgr.dev", None, id="only https"),
        pytest.param(
            {"https_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}, "https", "cgr.dev", PROXY, id="lower case wins"
        ),
        pytest.param({"ALL_PROXY": PROXY}, "http", "cgr.dev", PROXY, id="all"),
        pytest.param({"HTTPS_PROXY": "proxy.example:3128"}, "https", "cgr.dev", PROXY, id="without scheme"),
        pytest.param({"HTTPS_PROXY": PROXY}, "https", "127.0.0.1", None, id="never to loopback"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, "https", "cgr.dev", None, id="star"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "cgr.dev"}, "https", "cgr.dev", None, id="exact"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "cgr.dev"}, "https", "a.cgr.dev", None, id="subdomain"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": ".svc"}, "https", "registry.ns.svc", None, id="suffix"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "gr.dev"}, "https", "cgr.dev", PROXY, id="no half names"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, "https", "10.1.2.3", None, id="CIDR"),
        pytest.param(
            {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, "https", "11.1.2.3", PROXY, id="outside of CIDR"
        ),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "fd00::/8"}, "https", "[fd00::1]", None, id="IPv6 CIDR"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "cgr.dev:443"}, "https", "cgr.dev", None, id="port"),
        pytest.param(
            {"HTTPS_PROXY": PROXY, "NO_PROXY": "cgr.dev:8443"}, "https", "cgr.dev", PROXY, id="other port"
        ),
        pytest.param(
            {"HTTPS_PROXY": PROXY, "NO_PROXY": " a , cgr.dev ,"}, "https", "CGR.dev", None, id="spaces, case"
        ),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "a cgr.dev"}, "https", "cgr.dev", None, id="only spaces"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": ".svc"}, "https", "a.svc.", None, id="dot at the end"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "."}, "https", "cgr.dev", PROXY, id="a dot alone"),
        pytest.param({"HTTPS_PROXY": PROXY, "NO_PROXY": "*.dev"}, "https", "cgr.dev", None, id="star and suffix"),
        pytest.param(
            {"HTTPS_PROXY": PROXY, "NO_PROXY": "[fd00::1]:443"}, "https", "fd00::1", None, id="IPv6, port"
        ),
        pytest.param(
            {"HTTPS_PROXY": PROXY, "NO_PROXY": "[fd00::1]:80"}, "https", "fd00::1", PROXY, id="IPv6, other"
        ),
        pytest.param(
            {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.1:443"}, "https", "10.0.0.1", None, id="address, port"
        ),
        pytest.param({"HTTPS_PROXY": PROXY}, "https", "[::1]", None, id="never to loopback, IPv6"),
        pytest.param(
            {"HTTPS_PROXY": " ", "ALL_PROXY": PROXY}, "https", "cgr.dev", PROXY, id="an empty one is none"
        ),
    ],
)
def test_the_environment_decides(environ: dict[str, str], scheme: str, host: str, expected: str | None) -> None:
    assert ProxyRules.from_environment(environ).proxy_for(scheme, host, 443) == expected


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "url", ["socks5://user:hunter2@host:1", "http://hunter2:x@", "http://host:hunter2", "http://[hunter2", "host:0"]
)
def test_an_unusable_proxy_is_a_clear_error_without_its_password(name: str, url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        ProxyRules.from_environment({name: url})

    assert name in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_rules_are_shown_without_passwords() -> None:
    assert "hunter2" not in repr(ProxyRules.from_environment({"ALL_PROXY": "http://user:hunter2@host:1"}))
