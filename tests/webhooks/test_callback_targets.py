import pytest

from webhooks import targets
from webhooks.errors import InvalidTarget


@pytest.mark.parametrize(
    ("url", "line", "host", "port", "tls"),
    [
        ("http://example.com", b"POST / HTTP/1.1", b"example.com", 80, False),
        ("https://example.com/a/b?c=d&e=%20", b"POST /a/b?c=d&e=%20 HTTP/1.1", b"example.com", 443, True),
        ("https://example.com:8443/", b"POST / HTTP/1.1", b"example.com:8443", 8443, True),
        ("http://example.com:80?x", b"POST /?x HTTP/1.1", b"example.com", 80, False),
        ("http://[::1]:8080/x", b"POST /x HTTP/1.1", b"[::1]:8080", 8080, False),
        ("http://EXAMPLE.com/Ä b#frag", b"POST /%C3%84%20b HTTP/1.1", b"example.com", 80, False),
        ("https://bücher.example/x", b"POST /x HTTP/1.1", b"xn--bcher-kva.example", 443, True),
    ],
)
def test_it_reads_a_url(url, line, host, port, tls):
    target = targets.read(url=url)
    assert target.head.startswith(line + b"\r\nHost: " + host + b"\r\n")
    assert (target.port, target.tls) == (port, tls)


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com/", "http://", "http:///x", "file:///etc/passwd", "http://a:b:c/",
     "http://example.com:99999/", "http://ex ample.com/", "http://[::1/", "javascript:alert(1)",
     "http://a\u2100.com/", "//example.com/", "http://.\u3002/", "http://example.com:0/",
     "http://./", "http://../", "http://a..b/", "http://.a/", f"http://{'a' * 64}.com/"],
)  # fmt: skip
def test_it_refuses_what_is_no_http_url(url):
    with pytest.raises(InvalidTarget):
        targets.read(url=url)


@pytest.mark.parametrize("host", ["example.com.", "a", "a_b.c", "2130706433", "[::1]", "a" * 63 + ".com"])
def test_it_leaves_any_other_host_to_be_resolved(host):
    assert targets.read(url=f"http://{host}/").host == host.strip("[]")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\t", "\0", "\x7f"])
def test_it_never_lets_a_url_end_a_line(end):
    with pytest.raises(InvalidTarget):
        targets.read(url=f"http://example.com/a{end}X-Evil: 1?b")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "py/repr", "a\r\nb", "ä", "a\x00", "(x)"])
def test_it_refuses_a_header_name_that_is_no_token(name):
    with pytest.raises(InvalidTarget):
        targets.read(url="http://example.com/", headers={name: "x"})


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb", "a\x00b", "\x7f"])
def test_it_refuses_a_header_value_with_control_characters(value):
    with pytest.raises(InvalidTarget):
        targets.read(url="http://example.com/", headers={"X-A": value})


def test_it_sends_custom_headers_but_not_in_place_of_its_own():
    head = targets.read(
        url="http://example.com/",
        headers={
            "X-Key": " v ",
            "Host": "evil",
            "Content-Length": "9",
            "webhook-id": "x",
            "User-Agent": "mine",
        },
    ).head
    assert b"\r\nX-Key: v\r\n" in head
    assert b"evil" not in head
    assert b"Content-Length" not in head
    assert b"webhook-id" not in head
    assert head.count(b"User-Agent") == 1


def test_it_turns_a_password_in_the_url_into_basic_authentication():
    assert b"Authorization: Basic dTpwQDE=\r\n" in targets.read(url="http://u:p%401@example.com/").head
