"""No address that callbacks may not reach is ever dialled: shown on the sockets themselves.

Two witnesses: a loop that notes each address it is told to connect to and connects to none but loopback's, and a
listener on a forbidden address that counts who comes. What names resolve to is decided by the test.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_network

import pytest

from tests.fakes.http_listener import OK, Listener, status
from tests.webhooks.hand import Hand, make_destination, make_item
from webhooks import addresses, trial
from webhooks.client import Connector, Resolver
from webhooks.errors import BlockedAddress, CallbackError, ConnectFailed, InvalidTarget, ResolveFailed
from webhooks.targets import read

PUBLIC, PUBLIC_6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

# Addresses as a resolver may give them.
FORBIDDEN = [
    *("0.0.0.0", "0.0.0.1", "127.0.0.1", "127.1.2.3", "127.255.255.255"),
    *("10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255"),
    *("169.254.0.1", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "168.63.129.16"),
    *("192.0.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1"),
    *("192.88.99.1", "192.31.196.1", "192.52.193.1", "192.175.48.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::2", "::127.0.0.1", "::10.0.0.1", "::a9fe:a9fe", "::93.184.215.14"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0"),
    *("::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "64:ff9b::8.8.8.8"),
    *(
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2002:a00:1::1",
        "2001::1",
        "2001:0:7f00:1::",
        "2001:10::1",
        "2001:20::1",
    ),
    *(
        "fc00::1",
        "fd00::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::1",
        "fe80::a9fe:a9fe",
        "fec0::1",
        "fe80::1%1",
    ),
    *("ff00::1", "ff02::1", "ff05::2", "ff0e::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1"),
    *("2600::5efe:7f00:1", "2600::200:5efe:a00:1", "2606:4700:4700::1111%1"),
]


class Witness(asyncio.SelectorEventLoop):
    """Notes what is dialled; beyond loopback nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self.dialled: list[str] = []

    async def sock_connect(self, sock: socket.socket, address: Sequence[object]) -> None:
        self.dialled.append(str(address[0]))
        if not str(address[0]).startswith("127."):
            raise ConnectionRefusedError(111, "not from a test")
        await super().sock_connect(sock, address)


def numeric(host: str, port: int) -> list[str]:
    """As the system resolves without asking anybody: every spelling of an address, and localhost."""
    if host.rstrip(".").lower() == "localhost":
        return ["127.0.0.1", "::1"]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [str(entry[4][0]) for entry in found]


def dial(
    url: str, lookup: Callable[[str, int], Sequence[str]] = numeric, *, times: int = 1
) -> tuple[list[str], list[type[CallbackError]]]:
    """The addresses dialled on the way to a URL, and how each of so many ways ended."""
    loop = Witness()
    ends: list[type[CallbackError]] = []

    async def go() -> None:
        target = read(url=url)
        connector = Connector(resolver=Resolver(lookup=lookup))
        for _ in range(times):
            try:
                (await connector.open(target=target, deadline=loop.time() + 2)).abort()
            except CallbackError as error:
                ends.append(type(error))
        connector.close()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(go())
    return loop.dialled, ends


@pytest.fixture(autouse=True)
def _nothing_allowed(_loopback, settings):
    settings.CALLBACK_ALLOWED_NETWORKS = []


@pytest.fixture
def forbidden(settings):
    """A listener where nobody may go, next to an address that is allowed."""
    with Listener(host="127.0.0.2") as listener:
        settings.CALLBACK_ALLOWED_NETWORKS = [ip_network("127.0.0.1/32")]
        yield listener
        assert listener.connections == 0


@pytest.mark.parametrize("address", FORBIDDEN)
def test_it_dials_no_forbidden_address_that_a_name_resolves_to(address):
    assert dial("http://name.test/", lambda _host, _port: [address]) == ([], [BlockedAddress])


@pytest.mark.parametrize("address", [PUBLIC, PUBLIC_6, "1.1.1.1", "2a00:1450:4001:80b::200e"])
def test_it_dials_a_public_one(address):
    assert dial("http://name.test/", lambda _host, _port: [address]) == ([address], [ConnectFailed])


def test_it_dials_a_mapped_public_address():
    dialled, _ends = dial("http://name.test/", lambda _host, _port: ["::ffff:93.184.215.14"])
    assert dialled == ["::ffff:93.184.215.14"]


HOSTS = [
    *(
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7F.1",
        "0177.0.0.1",
        "0177.1",
    ),
    *(
        "017700000001",
        "0",
        "0.0.0.0",
        "0x0",
        "00000000000",
        "127.0.0.1.",
        "localhost",
        "LOCALHOST",
        "localhost.",
    ),
    *(
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "0251.0376.0251.0376",
        "169.254.43518",
    ),
    *(
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::127.0.0.1]",
    ),
    *("[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[::1%25lo]", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]"),
    *("①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1", "１２７.0.0.1", "⑯⑨。②⑤④。⑯⑨｡②⑤④", "ⓛocalhost"),  # noqa: RUF001
    *("example.com@127.0.0.1", "93.184.215.14@127.0.0.1", "user:93.184.215.14@127.1", "a%40b@127.0.0.1"),
    *(
        "127.0.0.1%00.example.com",
        "127.0.0.1%2eexample.com",
        "127.0.0.1\\@93.184.215.14",
        "93.184.215.14\\@127.0.0.1",
    ),
    *(
        "127.0.0.1:80@127.0.0.1",
        "127.0.0.1 ",
        "127.0.0.1\t",
        "[127.0.0.1]",
        "[::1",
        "::1",
        "1.1.1.1&@127.0.0.1",
    ),
    *("93.184.215.14#@127.0.0.1", "93.184.215.14/@127.0.0.1", "93.184.215.14?@127.0.0.1"),
]
# Where these go is the public part of them; it is dialled or nothing is.
MISLEADING = {PUBLIC}


@pytest.mark.parametrize("host", HOSTS)
def test_it_dials_nothing_forbidden_however_the_host_is_written(host):
    try:
        dialled, ends = dial(f"http://{host}/")
    except InvalidTarget:
        return
    assert set(dialled) <= MISLEADING
    assert set(ends) <= {BlockedAddress, ResolveFailed, ConnectFailed}
    assert (ends == [ConnectFailed]) is bool(dialled)


@pytest.mark.parametrize(
    "host", ["127.0.0.2", "127.2", "2130706434", "0x7f000002", "0177.0.0.2", "[::ffff:127.0.0.2]"]
)
def test_it_knocks_on_no_forbidden_door_however_that_is_written(forbidden, host):
    url = f"http://{host}:{forbidden.port}/"
    with Hand() as hand:
        hand.dispatcher.take([make_item(make_destination(url))])
        ((_item, outcome, _took),) = hand.wait_for(1)
    assert outcome.word in {"blocked", "dns"}
    assert trial.run(make_item(make_destination(url))).outcome in {"blocked", "dns"}


def test_it_dials_what_it_has_checked_when_a_name_resolves_to_something_else_the_second_time(monkeypatch):
    monkeypatch.setattr("webhooks.client.RESOLVED_SECONDS", -1.0)
    answers = iter([[PUBLIC], ["127.0.0.1"], ["169.254.169.254"], [PUBLIC, "10.0.0.1"]])
    dialled, ends = dial("http://rebinding.test/", lambda _host, _port: next(answers), times=4)
    assert dialled == [PUBLIC, PUBLIC]
    assert ends == [ConnectFailed, BlockedAddress, BlockedAddress, ConnectFailed]


def test_it_looks_again_before_a_kept_connection_grows_old():
    from webhooks import client

    assert client.RESOLVED_SECONDS <= client.LONGEST_LIFE <= 60


@pytest.mark.parametrize(
    ("answer", "dialled"),
    [
        (["10.0.0.1", PUBLIC, "127.0.0.1"], [PUBLIC]),
        ([PUBLIC, "::1", PUBLIC_6, "fe80::1%1"], [PUBLIC, PUBLIC_6]),
        (["::ffff:127.0.0.1", "169.254.169.254"], []),
        (["name.inner", "127.1", "", "127.0.0.1\x00"], []),
    ],
)
def test_it_dials_the_allowed_ones_of_mixed_answers_only(answer, dialled):
    found, _ends = dial("http://mixed.test/", lambda _host, _port: answer)
    assert found == dialled


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308, 300, 304])
def test_it_follows_no_redirect(forbidden, code):
    elsewhere = f"Location: {forbidden.url('/secret')}\r\nRefresh: 0; url={forbidden.url()}"
    with Listener(lambda _request: [status(code, headers=elsewhere)]) as listener, Hand() as hand:
        hand.dispatcher.take([make_item(make_destination(listener.url()))])
        ((_item, outcome, _took),) = hand.wait_for(1)
        assert listener.connections == 1
    assert (outcome.word, outcome.status) == ("redirect", code)


@pytest.mark.parametrize(
    "name", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
)
def test_it_goes_through_no_proxy_of_the_environment(forbidden, monkeypatch, name):
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(name, forbidden.url(""))
    with Listener(lambda _request: [OK]) as listener, Hand() as hand:
        hand.dispatcher.take([make_item(make_destination(listener.url()))])
        ((_item, outcome, _took),) = hand.wait_for(1)
        assert len(listener.requests) == 1
        assert trial.run(make_item(make_destination(listener.url()))).conforms
        assert listener.connections == 2
    assert outcome.delivered


def test_it_is_led_nowhere_by_an_interim_answer_or_an_alternative_service(forbidden):
    hint = f"HTTP/1.1 103 Early Hints\r\nLink: <{forbidden.url()}>; rel=preconnect\r\n\r\n".encode()
    service = f'Alt-Svc: http/1.1="127.0.0.2:{forbidden.port}"\r\nContent-Location: {forbidden.url()}'
    with Listener(lambda _request: [hint, status(200, headers=service)]) as listener, Hand() as hand:
        for count in (1, 2):
            hand.dispatcher.take([make_item(make_destination(listener.url()))])
            hand.wait_for(count)
        assert listener.connections == 1


def test_it_refuses_an_embedded_address_whatever_the_prefix():
    assert not addresses.is_allowed(address="2600:1:2:3:0:5efe:127.0.0.1", networks=[])
    assert addresses.is_allowed(address="2600:1:2:3:1:5efe:7f00:1", networks=[])
