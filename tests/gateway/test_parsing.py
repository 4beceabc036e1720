"""Bodies as a server hands them over, whatever their headers say."""

import io

import pytest
from django.core.handlers.wsgi import WSGIRequest

from gateway import errors
from gateway.api import parsing
from gateway.api.errors import respond

HUGE = b'"' + b"x" * (3 * 1024 * 1024) + b'"'
CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked"}


class Trickle(io.BytesIO):
    """A server that hands out a few bytes at a time."""

    def read(self, size=-1, /):
        return super().read(min(size, 7) if size >= 0 else 7)


def load(stream: io.BytesIO, environ: dict[str, str]):
    given = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/messages",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": stream,
    }
    return parsing.load(WSGIRequest(given | environ))


@pytest.mark.parametrize(
    ("body", "environ", "expected"),
    [
        (b'{"a":1}', {"CONTENT_LENGTH": "7"}, {"a": 1}),
        (b'{"a":1}', {"CONTENT_LENGTH": "1000"}, {"a": 1}),
        (b'{"a":1}', CHUNKED, {"a": 1}),
        (b"{}", {"CONTENT_LENGTH": "1"}, errors.MalformedBody),
        (b"{}", {"CONTENT_LENGTH": "x"}, errors.MalformedBody),
        (b"{}", {"CONTENT_LENGTH": "-1"}, errors.MalformedBody),
        (b"{}", {"CONTENT_LENGTH": "0"}, errors.MalformedBody),
        (b"{}", {}, errors.MalformedBody),
        (b"", CHUNKED, errors.MalformedBody),
        (b"{}", {"CONTENT_LENGTH": "99999999999"}, errors.PayloadTooLarge),
        (HUGE, {"CONTENT_LENGTH": str(len(HUGE))}, errors.PayloadTooLarge),
        (HUGE, CHUNKED, errors.PayloadTooLarge),
        (HUGE, {"CONTENT_LENGTH": str(len(HUGE)), "CONTENT_TYPE": "text/plain"}, errors.PayloadTooLarge),
    ],
)
@pytest.mark.parametrize("stream", [io.BytesIO, Trickle])
def test_believes_no_length(body, environ, expected, stream):
    if isinstance(expected, dict):
        assert load(stream(body), environ) == expected
        return
    with pytest.raises(expected):
        load(stream(body), environ)


def test_takes_exactly_what_the_limit_allows(settings):
    settings.MAX_BODY_BYTES = 10
    assert load(io.BytesIO(b'"12345678"'), CHUNKED) == "12345678"
    with pytest.raises(errors.PayloadTooLarge):
        load(io.BytesIO(b'"123456789"'), CHUNKED)


@pytest.mark.parametrize(
    "environ", [CHUNKED, {"CONTENT_LENGTH": str(len(HUGE))}, {"CONTENT_LENGTH": "99999999"}]
)
def test_reads_off_what_is_refused(environ):
    """Or the client would see a reset in place of the answer."""
    stream = io.BytesIO(HUGE)
    request = WSGIRequest({"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/nope", "wsgi.input": stream} | environ)
    answer = respond(errors.UnknownPath(), request)
    assert stream.tell() == len(HUGE)
    assert "Connection" not in answer.headers


def test_ends_the_connection_when_there_is_no_end_of_it():
    class Endless:
        def read(self, size):
            return b"x" * size

        readline = read

    request = WSGIRequest(
        {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/nope", "wsgi.input": Endless()} | CHUNKED
    )
    assert respond(errors.PayloadTooLarge(), request).headers["Connection"] == "close"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/json;",
    ],
)
def test_takes_json_however_it_is_spelt(content_type):
    assert load(io.BytesIO(b"[]"), {"CONTENT_LENGTH": "2", "CONTENT_TYPE": content_type}) == []


def test_names_the_place_of_what_cannot_be_stored():
    with pytest.raises(errors.MalformedBody) as caught:
        parsing.decode(b'{"a":[{"b":"\\u0000"},"ok \\ud83d\\ude00"],"c\\ud800":1}')
    assert [detail.field for detail in caught.value.details] == ["a[0].b", ""]
