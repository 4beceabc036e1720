"""Whatever an endpoint sends, and however slowly, costs a bounded time and a bounded memory."""

import gzip
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.http_listener import CLOSE, OK, Listener, status
from tests.webhooks.hand import Hand, make_destination, make_item
from webhooks.errors import ProtocolFailed
from webhooks.http1 import KEPT_BODY, MAX_BODY, MAX_HEAD, ResponseReader

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def outcome_of(listener, **fields):
    """One attempt's outcome and the seconds it took."""
    with Hand() as hand:
        hand.dispatcher.take([make_item(make_destination(listener.url(), **fields))])
        ((_item, outcome, took),) = hand.wait_for(1)
    return outcome, took


def dripped(before: bytes, drip: bytes):
    return [before, *[step for _ in range(300) for step in (0.02, drip)]]


DRIPS = {
    "status line": (dripped(b"HTTP/1.1 200 ", b"O"), None),
    "field name": (dripped(b"HTTP/1.1 200 OK\r\n", b"X"), None),
    "fields": (dripped(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), None),
    "interim answers": (dripped(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), None),
    "body": (dripped(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"), 200),
    "body to the end": (dripped(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), 200),
    "body of the old protocol": (dripped(b"HTTP/1.0 500 No\r\n\r\n", b"x"), 500),
    "chunk size": (dripped(CHUNKED, b"0"), 200),
    "chunk extension": (dripped(CHUNKED + b"1;", b"x"), 200),
    "chunk": (dripped(CHUNKED + b"ffff\r\n", b"x"), 200),
    "chunk without end": (dripped(CHUNKED + b"fffffff\r\n", b"x"), 200),
    "chunks": (dripped(CHUNKED, b"1\r\nx\r\n"), 200),
    "trailer": (dripped(CHUNKED + b"0\r\nX: ", b"y"), 200),
    "trailers": (dripped(CHUNKED + b"0\r\n", b"X: y\r\n"), 200),
}


@pytest.mark.parametrize("name", DRIPS)
def test_it_ends_at_the_deadline_whatever_drips(name):
    steps, code = DRIPS[name]
    with Listener(lambda _request: steps) as listener:
        outcome, took = outcome_of(listener, deadline=0.25)
    assert (outcome.word, outcome.status) == ("timeout", code)
    assert 0.24 < took < 1.0


@contextmanager
def silent_port():
    """A port that takes connections and says nothing, as a hung TLS server does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = []
        threading.Thread(target=lambda: taken.append(server.accept()), daemon=True).start()
        yield server.getsockname()[1]
        for connection, _address in taken:
            connection.close()


def test_it_ends_at_the_deadline_in_the_middle_of_a_tls_handshake():
    with silent_port() as port, Hand() as hand:
        destination = make_destination(f"https://127.0.0.1:{port}/", deadline=0.25)
        hand.dispatcher.take([make_item(destination)])
        ((_item, outcome, took),) = hand.wait_for(1)
    assert outcome.word == "timeout"
    assert 0.24 < took < 1.0


FLOODS = {
    "interim answers": ([b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000], "protocol", None),
    "fields": ([b"HTTP/1.1 200 OK\r\n" + b"X-Field: 1\r\n" * 20_000], "protocol", None),
    "one field": ([b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000], "protocol", None),
    "trailers": ([CHUNKED + b"0\r\n" + b"X-Field: 1\r\n" * 20_000], "protocol", None),
    "chunk extensions": ([CHUNKED + (b"1;" + b"e" * 1000 + b"\r\nx\r\n") * 3000], "delivered", 200),
    "tiny chunks": ([CHUNKED + b"1\r\nx\r\n" * 200_000], "delivered", 200),
    "a body": ([status(200, body=b"x" * 2_000_000)], "delivered", 200),
    "a body without length": ([b"HTTP/1.1 500 No\r\n\r\n", b"x" * 2_000_000], "status", 500),
    "one chunk": ([CHUNKED + b"ffffff\r\n", b"x" * 2_000_000], "delivered", 200),
}


@pytest.mark.parametrize("name", FLOODS)
def test_it_ends_soon_whatever_floods(name):
    steps, word, code = FLOODS[name]
    with Listener(lambda _request: steps) as listener:
        outcome, took = outcome_of(listener)
    assert (outcome.word, outcome.status) == (word, code)
    assert len(outcome.body) <= KEPT_BODY
    assert took < 1.0


@pytest.mark.parametrize("size", [1, 7, 1000, 65_536, 262_144])
@pytest.mark.parametrize("name", FLOODS)
def test_it_reads_no_more_than_it_must_however_a_flood_is_cut(name, size):
    raw = b"".join(FLOODS[name][0])[:400_000]
    reader, fed, response = ResponseReader(), 0, None
    began = time.process_time()
    try:
        while response is None and fed < len(raw):
            response = reader.feed(raw[fed : fed + size])
            fed += size
    except ProtocolFailed:
        pass
    assert fed <= MAX_HEAD + 2 * MAX_BODY + 1024 + size
    assert time.process_time() - began < 2.0


def test_it_takes_a_compressed_body_for_the_bytes_that_it_is():
    bomb = gzip.compress(b"\0" * 10_000_000)
    with Listener(lambda _request: [status(200, headers="Content-Encoding: gzip", body=bomb)]) as listener:
        outcome, _took = outcome_of(listener)
        (request,) = listener.requests
    assert outcome.body == bomb[:KEPT_BODY]
    assert "accept-encoding" not in request.headers


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: "
        + b"c" * 8000
        + b"\r\nX\x00Y: \xff\xfe\r\n\r\n",
        b"HTTP/1.1 200\r\ncontent-LENGTH:0\r\n no: colon\r\nConnection: Keep-Alive, X\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_it_takes_an_odd_answer_and_keeps_the_connection(answer):
    with Listener(lambda _request: [answer]) as listener, Hand() as hand:
        for count in (1, 2):
            hand.dispatcher.take([make_item(make_destination(listener.url()))])
            hand.wait_for(count)
        assert listener.connections == 1
    assert all(outcome.delivered for _item, outcome, _took in hand.reports)


@pytest.mark.parametrize(
    "steps",
    [
        [b"HTTP/1.0 200 OK\r\n\r\nbye", CLOSE],
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", CLOSE],
        [OK, CLOSE],
        [OK + b"HTTP/1.1 500 Not asked\r\nContent-Length: 0\r\n\r\n"],
        [OK, 0.03, b"HTTP/1.1 500 Not asked\r\nContent-Length: 0\r\n\r\n"],
    ],
)
def test_it_takes_a_new_connection_when_the_last_one_cannot_be_trusted(steps):
    with Listener(lambda _request: steps) as listener, Hand() as hand:
        for count in (1, 2):
            hand.dispatcher.take([make_item(make_destination(listener.url()))])
            hand.wait_for(count)
            time.sleep(0.08)
        assert listener.connections == 2
        assert len(listener.requests) == 2
    assert all(outcome.delivered for _item, outcome, _took in hand.reports)


PIECES = [
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 500\r\n",
        b"HTTP/1.1 100 Go\r\n\r\n",
        b"HTTP/1.1 ",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
    ),
    *(b"Content-Length: 5\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: \xb2\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked, gzip\r\n", b"Connection: close\r\n"),
    *(
        b"5\r\nhello\r\n",
        b"0\r\n",
        b"0\r\n\r\n",
        b"ffffffffffff\r\n",
        b"-1\r\n",
        b"1;a=b\r\nx\r\n",
        b"x" * 2000,
        b"\x00",
    ),
]


@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=12)), max_size=30).map(b"".join),
    st.integers(1, 400),
)
def test_it_makes_an_answer_or_a_failure_of_any_bytes_however_they_are_cut(raw, size):
    def read(step):
        reader = ResponseReader()
        try:
            for at in range(0, len(raw), step):
                if (response := reader.feed(raw[at : at + step])) is not None:
                    return response.status, response.body
            response = reader.eof()
        except ProtocolFailed:
            return None
        return response.status, response.body

    assert read(size) == read(len(raw) or 1)
