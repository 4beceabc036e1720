import asyncio
from ipaddress import ip_network

import pytest

from webhooks import addresses
from webhooks.client import Resolver, look_up
from webhooks.errors import BlockedAddress, ResolveFailed

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2001:20::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff00::1",
    "ff02::1",
    "ff0e::1",
    "2606:4700:4700::1111%1",
    "nonsense",
    "1.2.3",
    "1.2.3.4.5",
]
ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "172.15.255.255",
    "172.32.0.1",
    "100.128.0.1",
    "::ffff:8.8.8.8",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
]


@pytest.mark.parametrize("address", REFUSED)
def test_it_refuses(address):
    assert not addresses.is_allowed(address=address, networks=[])


@pytest.mark.parametrize("address", ALLOWED)
def test_it_allows(address):
    assert addresses.is_allowed(address=address, networks=[])


def test_it_allows_a_private_network_that_the_platforms_operator_named_and_no_other():
    networks = [ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")]
    assert addresses.is_allowed(address="10.1.2.3", networks=networks)
    assert addresses.is_allowed(address="::ffff:10.1.2.3", networks=networks)
    assert addresses.is_allowed(address="fd00:1::5", networks=networks)
    assert not addresses.is_allowed(address="10.2.0.1", networks=networks)
    assert not addresses.is_allowed(address="fd00:2::5", networks=networks)


def resolve(host: str, lookup=look_up) -> list[str]:
    resolver = Resolver(lookup=lookup)
    try:
        return asyncio.run(resolver.allowed(host=host, port=80))
    finally:
        resolver.close()


SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "127.0.0.1.",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "localhost",
]


@pytest.mark.parametrize("host", SPELLINGS)
def test_it_refuses_every_spelling_of_an_inner_address(host, settings):
    settings.CALLBACK_ALLOWED_NETWORKS = []
    with pytest.raises((BlockedAddress, ResolveFailed)):
        resolve(host)


def test_it_uses_only_the_allowed_ones_of_mixed_answers(settings):
    settings.CALLBACK_ALLOWED_NETWORKS = []
    assert resolve("mixed.test", lambda _host, _port: ["10.0.0.1", "8.8.8.8", "::1"]) == ["8.8.8.8"]


def test_it_says_when_a_name_has_no_address():
    def lookup(host, port):
        raise OSError(-2, "Name or service not known")

    with pytest.raises(ResolveFailed):
        resolve("nowhere.test", lookup)


def test_it_asks_once_for_many_who_want_the_same_name():
    asked = []

    def lookup(host, port):
        asked.append(host)
        return ["8.8.8.8"]

    async def many():
        resolver = Resolver(lookup=lookup)
        await asyncio.gather(*(resolver.allowed(host="busy.test", port=80) for _ in range(50)))
        resolver.close()

    asyncio.run(many())
    assert asked == ["busy.test"]
