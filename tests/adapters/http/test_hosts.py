"""Which hosts may be named, and which addresses may be reached."""

from __future__ import annotations

import ipaddress

import pytest

from adapters.http.hosts import AllowedHosts


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"),  # noqa: S104
        *("100.64.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1"),
        *("64:ff9b::a00:1", "2002:a00:1::", "::ffff:169.254.169.254"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    assert not AllowedHosts(["camera-1"]).reaches(parsed)
    assert AllowedHosts([address]).reaches(parsed)


def test_public_addresses_and_networks() -> None:
    nothing, plant = (
        AllowedHosts(),
        AllowedHosts(["192.168.10.0/24", "camera-1", "10.0.0.1:8080", "[::1]:81"]),
    )
    assert nothing.reaches(ipaddress.ip_address("93.184.216.34"))
    assert plant.reaches(ipaddress.ip_address("::ffff:192.168.10.7"))
    assert plant.allows("192.168.10.7", 80, usual=True)
    assert not plant.allows("192.168.10.7", 8080, usual=False)
    assert not plant.allows("192.168.11.7", 80, usual=True)
    assert plant.allows("10.0.0.1", 8080, usual=False)
    assert not plant.allows("10.0.0.1", 80, usual=True)
    assert plant.allows("::1", 81, usual=False)
    assert not nothing.allows("camera-1", 80, usual=True)


@pytest.mark.parametrize("entry", ["", "http://x", "x/y", "a@b", "x:0", "192.168.10.1/24", "é", "a b"])
def test_entries_that_are_none(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a NAME"):
        AllowedHosts([entry])
