"""Where answers of registries may lead: hosts by name and address, from the widest to the most sensitive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.ssrf import NetworkScope, is_forbidden_address, may_delegate_to, may_redirect_to, scope_of

if TYPE_CHECKING:
    import ipaddress

ANYWHERE = ["registry.example", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "1password.example", "", "0\x00"]
PRIVATE = ["10.0.0.1", "192.168.1.1", "172.16.0.9", "fd12::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "100.64.0.1"]
LOOPBACK = ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.1", "0x7f000001", "2130706433", "::1"]
NEVER = [
    *("169.254.169.254", "169.254.170.2", "0xa9fea9fe", "2852039166", "::ffff:169.254.169.254", "fe80::1"),
    *("metadata.google.internal", "Metadata.Google.Internal.", "metadata", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"),
    *("168.63.129.16", "100.100.100.200", "0.0.0.0", "::", "224.0.0.1"),
]


@pytest.mark.parametrize("host", ANYWHERE)
def test_public_hosts_may_be_named_by_everybody(host: str) -> None:
    assert scope_of(host) is NetworkScope.ANYWHERE
    assert may_delegate_to("registry.example", host)
    assert may_redirect_to("registry.example", host)


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_get_requests_without_credentials_and_credentials_only_from_their_like(host: str) -> None:
    assert scope_of(host) is NetworkScope.PRIVATE
    assert not may_delegate_to("registry.example", host)
    assert may_delegate_to("10.9.9.9", host)
    assert may_redirect_to("registry.example", host)


@pytest.mark.parametrize("host", LOOPBACK)
def test_this_machine_is_reached_only_by_registries_on_it(host: str) -> None:
    assert scope_of(host) is NetworkScope.LOOPBACK
    for own in ("registry.example", "10.0.0.1"):
        assert not may_delegate_to(own, host)
        assert not may_redirect_to(own, host)
    assert may_delegate_to("127.0.0.1", host)
    assert may_redirect_to("127.0.0.1", host)


@pytest.mark.parametrize("host", NEVER)
def test_metadata_services_are_reached_by_no_registry(host: str) -> None:
    assert scope_of(host) is NetworkScope.NEVER
    for own in ("registry.example", "10.0.0.1", "127.0.0.1"):
        assert not may_delegate_to(own, host)
        assert not may_redirect_to(own, host)


@given(st.ip_addresses())
def test_an_address_that_is_never_meant_is_never_led_to(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_forbidden_address(str(address)):
        assert scope_of(str(address)) is NetworkScope.NEVER


@given(own=st.text(max_size=60), other=st.text(max_size=60))
def test_any_two_texts_are_compared_and_a_host_may_always_name_itself(own: str, other: str) -> None:
    assert may_delegate_to(own, own)
    assert not may_delegate_to(own, other) or may_redirect_to(own, other)
