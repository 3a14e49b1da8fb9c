"""Where HTTP jobs may go: nothing but a checked address is ever connected to."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from horae.domain.errors import InvalidInput
from horae.handlers.builtin.answer import UnexpectedStatus
from horae.handlers.builtin.policy import AddressRefused
from horae.handlers.outcome import Discard
from tests.handlers.calls import calling
from tests.handlers.servers import Listener, Names, fixed, listening, ok


@pytest.fixture
async def trap() -> AsyncIterator[Listener]:
    """A server on loopback that must not be reached."""
    async with listening(fixed(ok(b"secret"))) as listener:
        yield listener
        assert listener.connections == 0


PRIVATE_ADDRESSES = [
    "127.0.0.1",
    "127.255.255.254",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "10.0.0.1",
    "100.64.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "240.0.0.1",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[100::1]",
    "[2001::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "１２７.０.０.１",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
]
NEVER_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.170.2",
    "[::]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[fe80::1]",
    "[fec0::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
    "[ff02::1]",
]


@pytest.mark.parametrize("host", PRIVATE_ADDRESSES)
async def test_addresses_that_are_not_public_are_refused(host: str, trap: Listener) -> None:
    async with calling(f":{trap.port}") as call:
        with pytest.raises(AddressRefused, match=r"add .* to HORAE_HTTP_ALLOW"):
            await call(url=f"http://{host}:{trap.port}/")


@pytest.mark.parametrize("host", NEVER_ADDRESSES)
async def test_link_local_and_metadata_are_refused_whatever_is_allowed(host: str, trap: Listener) -> None:
    async with calling("0.0.0.0/0", "::/0") as call:
        with pytest.raises(AddressRefused, match=r"never reach .* HORAE_HTTP_ALLOW can't open"):
            await call(url=f"http://{host}:{trap.port}/")


UNCLEAR_URLS = [
    # numbers that resolvers take for 127.0.0.1 or 0.0.0.0
    "http://2130706433:{port}/",
    "http://017700000001:{port}/",
    "http://0x7f000001:{port}/",
    "http://0X7F000001:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0x7f.1:{port}/",
    "http://0x7f.0x0.0x0.0x1:{port}/",
    "http://127.0.0.0x1:{port}/",
    "http://0:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://00127.0.0.1:{port}/",
    "http://4294967297:{port}/",
    # authorities that two parsers read differently
    "http://user@127.0.0.1:{port}/",
    "http://user:word@127.0.0.1:{port}/",
    "http://:@127.0.0.1:{port}/",
    "http://public.example:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@public.example/",
    "http://127.0.0.1%2f@public.example/",
    "http://public.example\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@public.example/",
    "http:\\\\127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\\path",
    "http://public.example :{port}/",
    "http://127.0.0.1 public.example/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1\r\nHost: public.example/",
    "http://127.0.0.1:{port}/\r\nX-Injected: 1",
    "http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n\r\nGET /",
    "http://127.0.0.1\x00.public.example:{port}/",
    "http://127.0.0.1%00.public.example:{port}/",
    "http://127.0.0.1%0d%0a:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://%6cocalhost:{port}/",
    "http://[::1:{port}/",
    "http://[::1]x:{port}/",
    "http://[127.0.0.1]:{port}/",
    "http://[v1.a]:{port}/",
    "http://[localhost]:{port}/",
    "http://[::1%25lo]:{port}/",
    "http://[fe80::1%25eth0]:{port}/",
    "http://[fe80::1%eth0]:{port}/",
    "http://[::1%2525lo]:{port}/",
    # not a host at all
    "http://:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "http://",
    "",
    "http://.:{port}/",
    "http://..:{port}/",
    "http://a..b:{port}/",
    "http://-:{port}/",
    "http://xn--:{port}/",
    "http://" + "a" * 64 + ":{port}/",
    "http://" + "a." * 150 + "example:{port}/",
    # ports
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:-1/",
    "http://127.0.0.1:{port}:{port}/",
    "http://127.0.0.1:0x50/",
    # other schemes, and what lenient parsers strip
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "data:text/plain,x",
    "javascript:alert(1)",
    "ws://127.0.0.1:{port}/",
    "ht\ttp://127.0.0.1:{port}/",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\n",
    "httpx://127.0.0.1:{port}/",
]


@pytest.mark.parametrize("url", UNCLEAR_URLS)
async def test_unclear_urls_don_t_fit_even_where_everything_is_allowed(url: str, trap: Listener) -> None:
    async with calling("0.0.0.0/0", "::/0", "localhost") as call:
        with pytest.raises(InvalidInput) as caught:
            await call(url=url.format(port=trap.port))
    assert [each.field for each in caught.value.errors] == ["payload.url"]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}#@public.example/", "http://127.0.0.1:{port}?@public.example/", "HTTP://127.0.0.1:{port}"],
)
async def test_the_address_is_read_as_it_is_connected_to(url: str, trap: Listener) -> None:
    async with calling(f":{trap.port}", names=Names({"public.example": [["127.0.0.1"]]})) as call:
        with pytest.raises(AddressRefused):
            await call(url=url.format(port=trap.port))


NAMES = {
    "localhost": [["127.0.0.1", "::1"]],
    "127.0.0.1.nip.example": [["127.0.0.1"]],
    "mixed.example": [["93.184.216.34", "127.0.0.1"]],
    "mixed6.example": [["2606:2800:220:1::1", "::1"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "nat64.example": [["64:ff9b::7f00:1"]],
    "metadata.example": [["169.254.169.254"]],
    "scoped.example": [["fe80::1%lo"]],
    "xn--fa-hia.example": [["10.0.0.1"]],
    "zero.example": [["0.0.0.0"]],
}


@pytest.mark.parametrize(
    "host", [*(name for name in NAMES if "xn--" not in name), "LOCALHOST", "localhost.", "ⓛocalhost", "faß.example"]
)
async def test_names_are_judged_by_all_their_addresses(host: str, trap: Listener) -> None:
    names = Names(NAMES)
    async with calling(f":{trap.port}", names=names) as call:
        with pytest.raises(AddressRefused):
            await call(url=f"http://{host}:{trap.port}/")
    assert len(names.lookups) == 1


async def test_a_refusal_is_final_and_doesn_t_tell_the_address(trap: Listener) -> None:
    async with calling(names=Names({"intranet.example": [["10.11.12.13"]]})) as call:
        with pytest.raises(Discard) as caught:
            await call(url="http://intranet.example/")
    assert "add intranet.example:80 to HORAE_HTTP_ALLOW" in str(caught.value)
    assert "10.11.12.13" not in str(caught.value)


async def test_a_rebinding_name_server_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    real = socket.getaddrinfo

    def counting(host: Any, *rest: Any, **named: Any) -> Any:
        asked.append(host)
        return real(host, *rest, **named)

    names = Names({"rebinding.example": [["127.0.0.2"], ["127.0.0.1"]]})
    async with (
        listening(fixed(ok(b"harmless")), host="127.0.0.2") as public,
        listening(fixed(ok(b"secret")), host="127.0.0.1", port=public.port) as private,
        calling("127.0.0.2", names=names) as call,
    ):
        monkeypatch.setattr(socket, "getaddrinfo", counting)
        answer = await call(url=f"http://rebinding.example:{public.port}/", headers={"Connection-Id": "1"})
        assert answer["body"] == "harmless"
        assert names.lookups == ["rebinding.example"]
        assert asked == []
        public_before = public.connections
        with pytest.raises(AddressRefused):
            await call(url=f"http://rebinding.example.:{public.port}/")
        assert (public.connections, private.connections) == (public_before, 0)


async def test_the_socket_is_the_last_wall(trap: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("horae.handlers.builtin.policy.Policy.check", lambda *_: None)
    async with calling(f":{trap.port}", names=Names({"sly.example": [["127.0.0.1"]]})) as call:
        with pytest.raises(AddressRefused):
            await call(url=f"http://127.0.0.1:{trap.port}/")
        with pytest.raises(AddressRefused):
            await call(url=f"http://sly.example:{trap.port}/")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:{port}/"])
async def test_redirects_are_not_followed(status: str, target: str, trap: Listener) -> None:
    location = f"Location: {target.format(port=trap.port)}"
    async with (
        listening(fixed(ok(b"", location, status=status))) as redirecting,
        calling(f"127.0.0.1:{redirecting.port}") as call,
    ):
        with pytest.raises(UnexpectedStatus, match="redirects are not followed"):
            await call(url=f"http://127.0.0.1:{redirecting.port}/")
        answer = await call(url=f"http://127.0.0.1:{redirecting.port}/", expect=[int(status[:3])])
    assert answer["headers"]["location"] == location.removeprefix("Location: ")
    assert len(redirecting.requests) == 2


async def test_proxies_of_the_environment_are_not_used(trap: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
    async with listening(fixed(ok())) as target, calling(f"127.0.0.1:{target.port}") as call:
        assert (await call(url=f"http://127.0.0.1:{target.port}/"))["body"] == "hello"


async def test_cookies_of_one_job_don_t_reach_another() -> None:
    async with listening(fixed(ok(b"", "Set-Cookie: session=1; Path=/"))) as target, calling("localhost") as call:
        for _ in range(2):
            await call(url=f"http://localhost:{target.port}/")
    assert b"session" not in target.requests[1]
