"""The bytes of one attempt."""

from email.utils import parsedate_to_datetime

import pytest

from tests.fakes.http_listener import Listener
from tests.webhooks.hand import Hand, make_destination, make_item
from webhooks import outcomes, targets
from webhooks.dispatch import request
from webhooks.http1 import Response

NOW = 1_795_262_400


def split(raw: bytes) -> tuple[bytes, list[tuple[str, str]], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    return line, [tuple(field.decode().split(": ", 1)) for field in fields], body


class Signer:
    """Keeps what it was given to sign."""

    def __init__(self) -> None:
        self.signed = []

    def __call__(self, line: bytes, date: bytes, body: bytes) -> bytes:
        self.signed.append((line, date, body))
        return b"X-MessageMedia-Signature: c2ln\r\nX-MessageMedia-Key-Id: k\r\n"


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}, {"dAtE": "Mon, 01 Jan 2001 00:00:00 GMT"}])
@pytest.mark.parametrize("body", [b'{"a":"\xc3\xa9"}', b""])
def test_it_signs_exactly_the_line_the_date_and_the_body_that_it_sends(headers, body):
    signer = Signer()
    destination = make_destination(
        "https://example.test/a b?q=%20é", method="PUT", headers=headers, also_sign=signer
    )
    raw = request(item=make_item(destination, body=body), timestamp=NOW)
    line, fields, sent = split(raw)
    dates = [value for name, value in fields if name.lower() == "date"]
    assert signer.signed == [(line, dates[0].encode(), sent)]
    assert len(dates) == 1
    assert parsedate_to_datetime(dates[0]).timestamp() == NOW
    assert line == b"PUT /a%20b?q=%20%C3%A9 HTTP/1.1"
    assert sent == body
    assert dict(fields)["X-MessageMedia-Signature"] == "c2ln"
    names = [name.lower() for name, _value in fields]
    assert len(names) == len(set(names))


def test_it_sends_no_date_unless_somebody_signs_it():
    _line, fields, _body = split(request(item=make_item(make_destination("http://a.test/")), timestamp=NOW))
    assert "date" not in {name.lower() for name, _value in fields}


def test_it_says_no_type_of_a_body_that_there_is_not():
    destination = make_destination("http://a.test/", method="GET")
    line, fields, body = split(request(item=make_item(destination, body=b""), timestamp=NOW))
    assert (line, body) == (b"GET / HTTP/1.1", b"")
    assert dict(fields)["Content-Length"] == "0"
    assert "Content-Type" not in dict(fields)


def test_it_signs_with_both_secrets_while_one_replaces_the_other():
    destination = make_destination("http://a.test/", previous_secret=b"o" * 32, previous_until=NOW + 1.0)
    item = make_item(destination)
    both = dict(split(request(item=item, timestamp=NOW))[1])["webhook-signature"].split()
    after = dict(split(request(item=item, timestamp=NOW + 1))[1])["webhook-signature"].split()
    assert (len(both), len(after)) == (2, 1)


def test_it_loses_no_place_when_signing_fails():
    def fail(line, date, body):
        raise ValueError("no such key")

    with Listener() as listener, Hand() as hand:
        bad, good = make_destination(listener.url(), also_sign=fail), make_destination(listener.url())
        hand.dispatcher.take([make_item(bad) for _ in range(40)])
        hand.dispatcher.take([make_item(good)])
        reports = hand.wait_for(41)
        assert len(listener.requests) == 1
        assert listener.connections <= 8
    assert [outcome.word for _item, outcome, _took in reports].count("error") == 40


def test_it_reports_a_body_that_could_not_be_rendered_without_a_request():
    with Listener() as listener, Hand() as hand:
        item = make_item(make_destination(listener.url()), unrendered="undefined macro", body=b"")
        hand.dispatcher.take([item])
        ((reported, outcome, took),) = hand.wait_for(1)
        assert listener.connections == 0
    assert reported is item
    assert (outcome.word, outcome.error, outcome.status, took) == (
        outcomes.TEMPLATE,
        "undefined macro",
        None,
        0.0,
    )
    assert item.started > 0


@pytest.mark.parametrize(
    ("form", "status", "body", "word"),
    [
        ("standard", 200, b"ok", "delivered"),
        ("messagemedia", 200, b"ok", "delivered"),
        ("octopush", 200, b"ok", "unexpected_body"),
        ("octopush", 202, b" ", "unexpected_body"),
        ("octopush", 200, b"", "delivered"),
        ("octopush", 204, b"", "delivered"),
        ("octopush", 410, b"ok", "gone"),
        ("octopush", 301, b"ok", "redirect"),
        ("octopush", 500, b"", "status"),
    ],
)
def test_it_takes_an_answer_by_the_formats_rule(form, status, body, word):
    outcome = outcomes.of(Response(status, body, None, True, len(body)), format=form)
    assert (outcome.word, outcome.status, outcome.body) == (word, status, body)
    assert (outcome.error is None) is (word == "delivered")


def test_it_keeps_fields_of_its_own_out_of_the_reach_of_custom_headers():
    headers = {"webhook-id": "x", "Content-Length": "1", "Host": "inner", "X-Mine": "1"}
    raw = request(item=make_item(make_destination("http://a.test/", headers=headers)), timestamp=NOW)
    names = [name.lower() for name, _value in split(raw)[1]]
    assert len(names) == len(set(names))
    assert "x-mine" in names
    assert targets.read(url="http://a.test/", headers=headers).host == "a.test"


def test_it_keeps_no_connection_to_where_the_endpoint_was_before():
    with Listener() as old, Listener() as new, Hand() as hand:
        for count, listener in enumerate([old, new, new, old], start=1):
            hand.dispatcher.take([make_item(make_destination(listener.url()))])
            hand.wait_for(count)
        assert (len(old.requests), len(new.requests)) == (2, 2)


def test_it_sends_nothing_in_the_clear_that_is_to_go_over_tls():
    with Listener() as listener, Hand() as hand:
        hand.dispatcher.take([make_item(make_destination(listener.url()))])
        hand.wait_for(1)
        hand.dispatcher.take(
            [make_item(make_destination(listener.url().replace("http:", "https:"), deadline=0.5))]
        )
        (_first, (_item, outcome, _took)) = hand.wait_for(2)
        assert len(listener.requests) == 1
    assert not outcome.delivered
