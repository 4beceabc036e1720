import pytest

from webhooks.errors import ProtocolFailed
from webhooks.http1 import KEPT_BODY, MAX_BODY, ResponseReader

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + PLAIN


def read(*pieces: bytes):
    reader = ResponseReader()
    for piece in pieces:
        response = reader.feed(piece)
        if response is not None:
            return response
    return reader.eof()


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (PLAIN, 200, b"ok"),
        (CHUNKED, 200, b"hello world"),
        (INTERIM, 200, b"ok"),
        (b"HTTP/1.1 204\r\nContent-Length: 10\r\n\r\n", 204, b""),
        (b"HTTP/1.1 503 Busy Now\r\ncontent-length:0\r\nretry-after: 7\r\n\r\n", 503, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", 200, b"ok"),
    ],
)
def test_it_reads_an_answer_however_it_is_cut(raw, status, body):
    for cut in range(1, len(raw)):
        response = read(raw[:cut], raw[cut:])
        assert (response.status, response.body, response.reusable) == (status, body, True)
    response = read(*(bytes([byte]) for byte in raw))
    assert (response.status, response.body) == (status, body)


def test_it_reads_a_body_without_a_length_to_the_end_of_the_connection():
    response = read(b"HTTP/1.1 200 OK\r\n\r\n", b"all ", b"of it")
    assert (response.body, response.reusable) == (b"all of it", False)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        PLAIN + b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ],
)
def test_it_does_not_use_a_doubtful_connection_again(raw):
    assert read(raw).reusable is False


def test_it_keeps_a_connection_of_the_old_protocol_that_asks_for_it():
    assert read(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n").reusable is True


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        b"",
    ],
)
def test_it_refuses_what_is_not_a_whole_answer(raw):
    with pytest.raises(ProtocolFailed):
        read(raw)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n",
    ],
)
def test_it_stops_reading_a_body_that_does_not_end(head):
    reader = ResponseReader()
    response = reader.feed(head)
    fed = 0
    while response is None:
        response = reader.feed(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        fed += 4096
        assert fed < 4 * MAX_BODY
    assert len(response.body) <= KEPT_BODY
    assert response.reusable is False


def test_it_keeps_the_first_16_kib_of_a_body():
    body = bytes(range(256)) * 200
    response = read(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert response.body == body[:KEPT_BODY]
    assert response.reusable is True
