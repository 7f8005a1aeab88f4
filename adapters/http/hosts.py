"""AllowedHosts: which hosts a URL may name, and which addresses may be connected to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""NAT64 (RFC 6052): the last four bytes are an IPv4 address."""


@dataclass(frozen=True, slots=True)
class _Rule:
    host: str | Network
    port: int | None
    """None: the usual ports, 80 and 443."""

    def allows(self, host: str, address: Address | None, port: int, usual: bool) -> bool:
        if not (usual if self.port is None else port == self.port):
            return False
        if isinstance(self.host, str):
            return host == self.host
        return address is not None and address in self.host


class AllowedHosts:
    """The entries of an ``allowed_hosts`` of the configuration.

    ``NAME``, ``ADDRESS`` and ``NETWORK`` (such as 192.168.10.0/24) allow the usual ports 80 and 443,
    ``NAME:PORT`` and ``ADDRESS:PORT`` that port alone. A host whose address is not public is reached only
    if that address or its network is an entry too: a name may come to mean another machine overnight.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Raises ValueError for an entry of another form."""
        self._rules = tuple(_rule(entry) for entry in entries)
        self._networks = tuple(rule.host for rule in self._rules if not isinstance(rule.host, str))

    def allows(self, host: str, port: int, *, usual: bool) -> bool:
        """Whether a URL may name this lower-case host, before anything is resolved."""
        address = parse_address(host)
        return any(rule.allows(host, address, port, usual) for rule in self._rules)

    def reaches(self, address: Address) -> bool:
        """Whether an address may be connected to: public, or listed."""
        inner = _inner(address)
        listed = any(inner in network or address in network for network in self._networks)
        return listed or (inner.is_global and not inner.is_multicast)


def parse_address(text: str) -> Address | None:
    """An IPv4 address in four decimal parts or an IPv6 address; None for everything else."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _rule(entry: str) -> _Rule:
    text = entry.strip().lower()
    try:
        return _Rule(ipaddress.ip_network(text.strip("[]")), None)
    except ValueError:  # a name, or with a port
        host, colon, number = text.rpartition(":")
    port = int(number) if colon and number.isdecimal() and len(number) <= 5 else None
    name = text if port is None else host
    address = parse_address(name.strip("[]"))
    if port == 0 or not name or not name.isascii() or (address is None and set(name) & set("/@?#:[]\\ ")):
        raise ValueError(f"{entry!r} is not a NAME, NAME:PORT, ADDRESS or NETWORK such as 192.168.10.0/24")
    return _Rule(name if address is None else ipaddress.ip_network(address), port)


def _inner(address: Address) -> Address:
    """An IPv6 address that carries an IPv4 address leads there."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
