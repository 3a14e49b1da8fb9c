"""The entries of HORAE_HTTP_ALLOW, and what they open."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain.errors import SettingsError
from horae.handlers.builtin.addresses import is_never, is_public, unwrap
from horae.handlers.builtin.policy import AddressRefused, Policy, is_name

PUBLIC = "93.184.216.34"
PUBLIC6 = "2606:2800:220:1::1"


def permits(policy: Policy, host: str, address: str, port: int) -> bool:
    try:
        policy.check(host, ip_address(address), port)
    except AddressRefused:
        return False
    return True


@pytest.mark.parametrize(
    ("allow", "host", "address", "port", "expected"),
    [
        ([], "a.example", PUBLIC, 80, True),
        ([], "a.example", PUBLIC6, 443, True),
        ([], "a.example", PUBLIC, 8080, False),
        ([], "a.example", "10.0.0.1", 80, False),
        ([":8080"], "a.example", PUBLIC, 8080, True),
        (["8080"], "a.example", PUBLIC, 8080, True),
        ([":8080"], "a.example", "10.0.0.1", 8080, False),
        (["a.example"], "a.example", "10.0.0.1", 9, True),
        (["A.Example"], "a.example", "10.0.0.1", 9, True),
        (["a.example"], "A.EXAMPLE.", "10.0.0.1", 9, True),
        (["a.example"], "b.a.example", "10.0.0.1", 80, False),
        (["a.example"], "xa.example", "10.0.0.1", 80, False),
        (["a.example"], "a.example", "169.254.169.254", 80, False),
        (["a.example:9000"], "a.example", "10.0.0.1", 9000, True),
        (["a.example:9000"], "a.example", "10.0.0.1", 80, False),
        (["*.a.example"], "b.a.example", "10.0.0.1", 80, True),
        (["*.a.example"], "c.b.a.example", "10.0.0.1", 80, True),
        (["*.a.example"], "a.example", "10.0.0.1", 80, False),
        (["*.a.example"], "xa.example", "10.0.0.1", 80, False),
        (["10.0.0.0/8"], "any.example", "10.9.9.9", 1234, True),
        (["10.0.0.0/8"], "any.example", "11.0.0.1", 1234, False),
        (["10.0.0.0/8"], "10.1.1.1", "::ffff:10.1.1.1", 1234, True),
        (["10.0.0.0/8:8080"], "any.example", "10.9.9.9", 8080, True),
        (["10.0.0.0/8:8080"], "any.example", "10.9.9.9", 80, False),
        (["127.0.0.1"], "127.0.0.1", "127.0.0.1", 5000, True),
        (["127.0.0.1:5000"], "127.0.0.1", "127.0.0.1", 5001, False),
        (["::1"], "::1", "::1", 5000, True),
        (["[::1]:5000"], "::1", "::1", 5000, True),
        (["[::1]:5000"], "::1", "::1", 80, False),
        (["fd00::/8"], "any.example", "fd12::1", 80, True),
        (["[fd00::/8]:8080"], "any.example", "fd12::1", 8080, True),
        (["fd00::/8"], "any.example", "fd00:ec2::254", 80, False),
        (["0.0.0.0/0"], "any.example", "169.254.1.1", 80, False),
        (["0.0.0.0/0"], "any.example", "0.0.0.0", 80, False),
    ],
)
def test_what_entries_open(allow: list[str], host: str, address: str, port: int, expected: bool) -> None:
    policy = Policy.parse(allow)
    assert permits(policy, host, address, port) is expected
    if expected:
        assert policy.may_connect(ip_address(address), port)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.",
        "a b",
        "http://a.example",
        "a.example/path",
        "user@a.example",
        "a.example:0",
        "a.example:99999",
        "a.example:http",
        ":",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "127.1",
        "2130706433",
        "0x7f.1",
        "256.0.0.1",
        "[::1",
        "[::1]x",
        "a*.example",
        "faß.example",
        "169.254.169.254",
        "169.254.0.0/16",
        "fe80::/10",
        "[fd00:ec2::254]:80",
        "100.100.100.200",
        "0.0.0.0",
    ],
)
def test_entries_that_are_none(entry: str) -> None:
    with pytest.raises(SettingsError, match=r"^HORAE_HTTP_ALLOW: .+") as caught:
        Policy.parse([entry])
    assert "\n" not in str(caught.value)


@given(st.ip_addresses())
def test_the_last_wall_lets_through_all_that_the_check_lets_through(address: IPv4Address | IPv6Address) -> None:
    policy = Policy.parse(["10.0.0.0/8", "fd00::/8", ":8080"])
    for port in (80, 8080, 1234):
        if permits(policy, "a.example", str(address), port):
            assert policy.may_connect(address, port)
            assert not is_never(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_the_same_in_all_its_disguises(address: IPv4Address) -> None:
    number = int(address)
    disguises = [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0xFFFF << 48) | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
    ]
    for disguise in disguises:
        assert unwrap(disguise) == address
        assert is_public(disguise) == is_public(address)
        assert is_never(disguise) == is_never(address)


@given(st.ip_addresses())
def test_public_is_never_more_than_the_standard_library_says(address: IPv4Address | IPv6Address) -> None:
    assert not (is_public(address) and not unwrap(address).is_global)
    assert not (is_public(address) and unwrap(address).is_private)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.example", True),
        ("a", True),
        ("a.example.", True),
        ("1.2.3.example", True),
        ("under_score.example", True),
        ("xn--fa-hia.de", True),
        ("a.0x7f", False),
        ("0x", False),
        ("1.2.3.4", False),
        ("a.1", False),
        ("a.1.", False),
        ("A.example", False),
        ("a..b", False),
        ("-a.example", False),
        ("a-.example", False),
        ("", False),
        (".", False),
        ("a" * 63, True),
        ("a" * 64, False),
        (".".join(["a" * 49] * 5), True),
        (".".join(["a" * 50] * 5), False),
    ],
)
def test_names(name: str, expected: bool) -> None:
    assert is_name(name) is expected
