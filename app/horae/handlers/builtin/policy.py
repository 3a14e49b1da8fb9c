"""`HORAE_HTTP_ALLOW`: what HTTP jobs may reach beside public addresses on ports 80 and 443.

intranet.example        this name, on any port, whatever its addresses
*.svc.cluster.local     every name below this one
10.0.0.0/8, 127.0.0.1   these addresses, on any port, by whatever name
[fd00::/8]:8080         any of the above on one port only
:8080                   this port of public addresses
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from horae.domain.errors import SettingsError
from horae.handlers.builtin.addresses import Address, Network, is_all_never, is_never, is_public, unwrap
from horae.handlers.outcome import Discard

WEB_PORTS = frozenset({80, 443})
SETTING = "HORAE_HTTP_ALLOW"

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"0x[0-9a-f]*|\d+")


class AddressRefused(Discard):
    """An HTTP job may not go there; trying again won't help, so the job ends FAILED."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the setting. `name` may begin with `*.`; `port` None means any."""

    name: str | None = None
    network: Network | None = None
    port: int | None = None

    def opens(self, host: str, address: Address, port: int) -> bool:
        """Whether it permits this address of this host, public or not."""
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return address in self.network
        return self.name is not None and _is_named(host, self.name)

    @property
    def is_port_only(self) -> bool:
        """Whether it opens a port of public addresses."""
        return self.name is None and self.network is None


@dataclass(frozen=True, slots=True)
class Policy:
    """Decides where HTTP jobs may go."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, entries: Sequence[str]) -> Policy:
        """The policy of the setting's entries.

        Raises:
            SettingsError: an entry is none of the forms, or names what is never reached.
        """
        return cls(tuple(_rule(entry.strip().lower()) for entry in entries))

    def check(self, host: str, address: Address, port: int) -> None:
        """Passes if a job may connect to this address, which its URL or a name server gave for `host`.

        Raises:
            AddressRefused: it may not; the message says what to add to the setting.
        """
        if is_never(address):
            raise AddressRefused(
                f"HTTP jobs never reach {host}: it is or resolves to a link-local, metadata, multicast or unspecified "
                f"address, which {SETTING} can't open"
            )
        if self._opened(host, address, port):
            return
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if not is_public(address):
            raise AddressRefused(
                f"HTTP jobs reach public addresses only, and {host} is or resolves to another: "
                f"add {target} to {SETTING} to permit it"
            )
        if port not in WEB_PORTS and Rule(port=port) not in self.rules:
            raise AddressRefused(
                f"HTTP jobs reach ports 80 and 443 only: add {target} (or :{port} for every public host) to {SETTING}"
            )

    def may_connect(self, address: Address, port: int) -> bool:
        """Whether there is any name under which `check` could have passed this address."""
        if is_never(address):
            return False
        if any(rule.name and rule.port in (None, port) for rule in self.rules) or self._opened("", address, port):
            return True
        return is_public(address) and (port in WEB_PORTS or Rule(port=port) in self.rules)

    def _opened(self, host: str, address: Address, port: int) -> bool:
        return any(rule.opens(host, unwrap(address), port) for rule in self.rules)


def is_name(host: str) -> bool:
    """Whether it is a host name in ASCII and lower case that no resolver can take for an address.

    Resolvers read 127.1, 0x7f.1 and 2130706433 as addresses: the last label must not be a number.
    """
    name = host.removesuffix(".")
    return len(name) < 254 and bool(_NAME.fullmatch(name)) and not _NUMBER.fullmatch(name.rpartition(".")[2])


def _is_named(host: str, name: str) -> bool:
    host = host.lower().removesuffix(".")
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _rule(entry: str) -> Rule:
    target, port = _split(entry)
    if not target and port is not None:
        return Rule(port=port)
    try:
        network = ip_network(target)
    except ValueError as error:
        if is_name(target.removeprefix("*.")):
            return Rule(name=target, port=port)
        hint = f" ({error})" if "/" in target else ""
        raise SettingsError(f"{SETTING}: {entry!r} is not a host, an address, a CIDR or a port{hint}") from None
    if is_all_never(network):
        raise SettingsError(
            f"{SETTING}: {entry!r} can't be opened: link-local and metadata addresses are never reached"
        )
    return Rule(network=network, port=port)


def _split(entry: str) -> tuple[str, int | None]:
    """The target and the port of `target:port`, `[v6]:port`, `:port`, `port` or `target`."""
    match = re.fullmatch(r"\[(?P<v6>[^\]]+)\](?::(?P<a>\d+))?|(?P<other>[^:]*):(?P<b>\d+)|(?P<c>\d+)", entry)
    if match is None:
        return entry, None
    port = match["a"] or match["b"] or match["c"]
    if port is not None and not 0 < int(port) < 65536:
        raise SettingsError(f"{SETTING}: {entry!r}: a port is a number from 1 to 65535")
    return match["v6"] or match["other"] or "", None if port is None else int(port)
