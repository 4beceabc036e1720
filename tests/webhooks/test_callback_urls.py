"""URLs with references in them, and where a diverted callback goes."""

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.http_listener import Listener
from tests.webhooks import outcomes_of
from tests.webhooks.world import carry, make_facts, make_webhook
from webhooks import destinations, fanout, loading, relay, rendering, signature_keys, targets, velocity
from webhooks.models import DueCallback
from webhooks.velocity import TemplateError


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a?c=$mtContent&d=$!moContent",
        "https://example.com/${mtId}.json",
        "http://example.com?id=$mtId",
        "https://example.com:8443/$metadata.get('order')/$metadata.order",
        "https://example.com/odata?$filter=a&price=$5#$mtId",
        "https://us$er:pa$$@example.com/hook",
        "https://example.com/hook#if(1)",
    ],
)
def test_it_may_have_references_in_path_and_query(url):
    velocity.check_url(url)
    targets.read(url=url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://$mtContent/a", "path and the query only"),
        ("https://example.com$mtId/a", "path and the query only"),
        ("https://example.com:$statusCode/", "path and the query only"),
        ("https://$mtId@example.com/", "path and the query only"),
        ("$mtContent", "path and the query only"),
        ("ftp://example.com/$mtId", "path and the query only"),
        ("https://example.com\\$mtId/", "path and the query only"),
        ("https://example.com/$mtId.__class__", "is no member"),
        ("https://example.com/$mtId.getClass()", "may not be used"),
        ("https://example.com/${mtId", "} is missing"),
        ("https://example.com/?a=$mtId\x00", "NUL"),
    ],
)
def test_it_refuses_a_reference(url, why):
    with pytest.raises(TemplateError, match=why):
        velocity.check_url(url)


@given(st.text())
def test_it_encodes_whatever_is_put_in(text):
    url = velocity.read_url("https://example.com/$mtId/x?c=$mtContent&d=1")
    text = text.encode("utf-8", "replace").decode()
    filled = url.render({"mtContent": text, "mtId": text})
    parts = urlsplit(filled)
    targets.read(url=filled)
    assert (parts.netloc, parts.path.count("/"), parts.fragment) == ("example.com", 2, "")
    assert parse_qs(parts.query, keep_blank_values=True) == {"c": [text], "d": ["1"]}


def test_it_leaves_an_undefined_reference_as_it_stands_and_a_quiet_one_out():
    url = velocity.read_url("https://example.com/?a=$replyId&b=$!moId&c=$other&d=$esc.url($mtContent)")
    assert url.render({"mtContent": "a b"}) == "https://example.com/?a=$replyId&b=&c=$other&d=a%20b"


def test_it_ends_a_url_that_becomes_too_long():
    url = velocity.read_url("https://example.com/?a=$mtContent")
    with pytest.raises(TemplateError, match="more than 16 KiB"):
        url.render({"mtContent": "é" * 3000})


@pytest.mark.django_db(transaction=True)
def test_it_calls_with_get_and_no_body(sending, tenant):
    with Listener() as listener:
        make_webhook(
            tenant,
            listener.url("/in?c=$mtContent&n=$sourceAddress&s=$status&x=$!moContent"),
            method="GET",
            template="x",
        )
        fanout.fan_out(make_facts(tenant, text="a&b=c d/é"))
        carry()
        (request,) = listener.wait_for(1)
    assert (request.method, request.body) == ("GET", b"")
    assert request.target == "/in?c=a%26b%3Dc%20d%2F%C3%A9&n=%2B14155550101&s=delivered&x="
    assert "content-type" not in {name.lower() for name in request.headers}


def test_it_fills_in_the_url_for_each_callback_with_the_headers_and_the_port(tenant):
    make_webhook(tenant, "https://example.com:8443/$mtId", method="PUT", headers={"X-Key": "1"})
    facts = make_facts(tenant, 2)
    fanout.fan_out(facts)
    items = outcomes_of.claimed()
    assert {item.target.head.split(b"\r\n")[0] for item in items} == {
        f"PUT /{fact.message_id} HTTP/1.1".encode() for fact in facts
    }
    assert {(item.target.host, item.target.port, item.target.tls) for item in items} == {
        ("example.com", 8443, True)
    }
    assert all(b"X-Key: 1\r\n" in item.target.head for item in items)


def test_it_sends_no_date_and_no_signature_that_a_tenant_wrote():
    headers = {"Date": "never", "X-MessageMedia-Signature": "mine", "X-Kept": "yes"}
    head = targets.read(url="https://example.com/", headers=headers).head
    assert (b"X-Kept" in head, b"Date" in head, b"X-MessageMedia" in head) == (True, False, False)


@pytest.mark.parametrize(
    ("failover", "path"),
    [
        ("https://second.example.com/$mtId?n=2", b"/%b?n=2"),
        ("https://second.example.com/plain", b"/plain"),
        (None, b"/first"),
    ],
)
def test_it_sends_a_diverted_callback_to_the_failover_while_there_is_one(tenant, failover, path):
    webhook = make_webhook(tenant, "https://example.com/first", failover_url=failover)
    (fact,) = make_facts(tenant)
    fanout.fan_out([fact])
    endpoint = destinations.of_failover(webhook_id=webhook.pk)
    DueCallback.objects.update(endpoint=endpoint, home=webhook.pk)
    (item,) = outcomes_of.claimed()
    assert item.target.head.split()[1] == path.replace(b"%b", str(fact.message_id).encode())
    assert (item.endpoint, item.home) == (str(endpoint), str(webhook.pk))
    assert item.destination.has_failover is (failover is not None)


def test_it_makes_samples_for_urls_and_templates_too(tenant):
    webhook = make_webhook(
        tenant, "https://example.com/?s=$status", template="$mtContent $accountId", method="POST"
    )
    item = rendering.sample_item(webhook, "DELIVERED_DR")
    assert item.target.head.split()[1] == b"/?s=delivered"
    assert item.body == b"Your order 42 is on its way. acme"


def test_it_signs_in_messagemedias_way_too_once_the_tenant_has_a_key(
    tenant, other, django_assert_num_queries
):
    for each in (tenant, other):
        make_webhook(each, "https://example.com/hook")
        fanout.fan_out(make_facts(each))
    key = signature_keys.create(tenant_id=tenant.pk, members={"cipher": "RSA", "digest": "SHA256"})
    signature_keys.enable(tenant_id=tenant.pk, key_id=str(key.pk))
    callback_ids, until = relay.claim()
    with django_assert_num_queries(3):
        items = loading.load(callback_ids=callback_ids, leased_until=until)
    lines = {
        item.tenant_id: item.destination.also_sign
        and item.destination.also_sign(b"POST / HTTP/1.1", b"now", b"x")
        for item in items
    }
    assert lines[other.pk] is None
    assert f"X-MessageMedia-Key-Id: {key.pk}".encode() in lines[tenant.pk]
