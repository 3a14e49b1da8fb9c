"""Which addresses an HTTP job may reach: public ones on ports 80 and 443, and what `HORAE_HTTP_ALLOW` adds.

The tables are our own: `ipaddress.is_global` of Python 3.11 lets through several ranges that aren't.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_NEVER = _networks(
    "0.0.0.0/8",  # this host
    "169.254.0.0/16",  # link-local; most clouds' metadata
    "224.0.0.0/4",  # multicast
    "255.255.255.255/32",
    "100.100.100.200/32",  # metadata (Alibaba)
    "168.63.129.16/32",  # metadata (Azure)
    "192.0.0.192/32",  # metadata (Oracle)
    "::/128",
    "fe80::/10",  # link-local
    "fec0::/10",  # site-local, its abandoned cousin
    "ff00::/8",  # multicast
    "fd00:ec2::/32",  # metadata (AWS)
    "fd20:ce::/32",  # metadata (Google)
)
"""refused whatever the settings say"""

_PRIVATE = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "2001::/23",  # Teredo, benchmarks, ORCHID, …
    "2001:db8::/32",
    "3fff::/20",
)
_UNICAST = ip_network("2000::/3")
"""all that is public in IPv6 lies in here"""

_EMBEDDING = (
    (ip_network("::/96"), 0),  # IPv4-compatible
    (ip_network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (ip_network("::ffff:0:0:0/96"), 0),  # IPv4-translated
    (ip_network("64:ff9b::/96"), 0),  # NAT64
    (ip_network("2002::/16"), 80),  # 6to4
)
"""IPv6 networks that hold an IPv4 address, and how many bits follow it"""


def unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for; any other address as it is."""
    if isinstance(address, IPv6Address):
        for network, shift in _EMBEDDING:
            if address in network and int(address) > 1:  # :: and ::1 are their own
                return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def is_never(address: Address) -> bool:
    """Whether it is refused whatever the settings say: link-local, metadata, multicast, unspecified."""
    return any(each in network for each in (address, unwrap(address)) for network in _NEVER)


def is_all_never(network: Network) -> bool:
    """Whether every address of the network is refused whatever the settings say."""
    return any(network.network_address in never and network.prefixlen >= never.prefixlen for never in _NEVER)


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet."""
    real = unwrap(address)
    if isinstance(real, IPv6Address) and (real not in _UNICAST or real.scope_id):
        return False
    return real.is_global and not is_never(address) and not any(real in network for network in _PRIVATE)
