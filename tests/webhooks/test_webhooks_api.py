import pytest
from django.urls import include, path

from tests.webhooks.calling import BASE, BODY, Caller
from tests.webhooks.world import make_facts, make_webhook
from webhooks import fanout
from webhooks.models import Callback, DueCallback, Webhook
from webhooks.models.due_callback import HELD

urlpatterns = [path("v1/", include("webhooks.api.urls"))]
pytestmark = pytest.mark.urls(__name__)


@pytest.mark.parametrize("slash", ["", "/"])
def test_it_makes_a_webhook_and_shows_its_secret_once(call, slash):
    code, made = call("post", slash, BODY)
    assert code == 201
    assert made["secret"].startswith("whsec_")
    assert made["requestId"]
    assert {name: made[name] for name in BODY} == BODY
    assert (made["retries"], made["retryPolicy"], made["format"], made["active"]) == (
        0,
        "exponential",
        "standard",
        True,
    )
    assert not {"template", "read_timeout", "retry_delay"} & made.keys()
    code, read = call("get", f"/{made['id']}")
    assert code == 200
    assert "secret" not in read


@pytest.mark.parametrize("empty", [None, [], {}])
def test_it_always_answers_headers_as_an_object(call, empty):
    code, made = call("post", body=BODY | {"headers": empty})
    assert (code, made["headers"]) == (201, {})


def test_it_keeps_what_messagemedia_lets_one_say_of_retries(call):
    _code, made = call("post", body=BODY | {"retries": 3, "retry_delay": 10, "read_timeout": 5000})
    assert (made["retries"], made["retry_delay"], made["read_timeout"], made["retryPolicy"]) == (
        3,
        10,
        5000,
        "fixed",
    )


@pytest.mark.parametrize("slash", ["", "/"])
def test_it_lists_pages_in_the_order_of_creation(call, slash):
    made = [call("post", body=BODY | {"url": f"http://a.test/{n}"})[1]["id"] for n in range(5)]
    assert call("get", slash)[1]["pageSize"] == 100
    code, listed = call("get", f"{slash}?page=1&pageSize=2")
    assert (code, listed["page"], listed["pageSize"]) == (200, 1, 2)
    assert [row["id"] for row in listed["pageData"]] == made[2:4]
    assert [row["id"] for row in call("get", f"{slash}?page=0&page_size=4")[1]["pageData"]] == made[:4]
    assert len(call("get", f"{slash}?page=0&pageSize=0")[1]["pageData"]) == 5
    assert len(call("get", f"{slash}?")[1]["pageData"]) == 5
    assert call("get", f"{slash}?page=9")[1]["pageData"] == []
    assert call("get", f"{slash}?page=2147483647&pageSize=1000")[1]["pageData"] == []


@pytest.mark.parametrize("query", ["page=-1", "page=x", "pageSize=1.5", "page=99999999999", "page=٣"])
def test_it_refuses_a_page_that_is_no_number(call, query):
    code, answer = call("get", f"?{query}")
    assert code == 400
    assert isinstance(answer["message"], str)


def test_it_changes_what_is_given_and_leaves_what_is_null(call):
    _code, made = call("post", body=BODY)
    nulls = {"url": None, "method": None, "encoding": None, "events": None, "headers": None, "template": None}
    code, changed = call("patch", f"/{made['id']}", nulls | {"events": ["OPT_OUT_SMS"], "retries": 4})
    assert code == 200
    assert changed["events"] == ["OPT_OUT_SMS"]
    assert (changed["url"], changed["headers"], changed["retries"]) == (BODY["url"], BODY["headers"], 0)
    _code, changed = call("patch", f"/{made['id']}", {"headers": {"X-Other": "1"}})
    assert changed["headers"] == {"X-Other": "1"}


@pytest.mark.parametrize(
    "body", [{}, {"url": None}, {"events": []}, {"events": None, "method": None}, {"retries": 1}]
)
def test_it_refuses_a_change_that_changes_nothing(call, body):
    _code, made = call("post", body=BODY)
    code, answer = call("patch", f"/{made['id']}", body)
    assert code == 400
    assert isinstance(answer["message"], str)


def test_it_holds_the_callbacks_of_a_webhook_switched_off_and_sends_them_when_it_is_on_again(call, tenant):
    _code, made = call("post", body=BODY)
    fanout.fan_out(make_facts(tenant))
    _code, off = call("patch", f"/{made['id']}", {"active": False})
    assert (off["active"], bool(off["disabledReason"])) == (False, True)
    fanout.fan_out(make_facts(tenant))
    assert {row.next_attempt_at for row in DueCallback.objects.all()} == {HELD}
    _code, on = call("patch", f"/{made['id']}", {"active": True})
    assert (on["active"], on["disabledReason"]) == (True, None)
    assert all(row.next_attempt_at < HELD for row in DueCallback.objects.all())
    assert {row.state for row in Callback.objects.all()} == {"open"}


def test_it_says_since_when_a_webhook_is_switched_off(call):
    _code, made = call("post", body=BODY | {"active": False})
    assert (made["active"], made["disabledReason"]) == (False, "Switched off by its owner.")
    assert made["disabledAt"].endswith("Z")
    _code, on = call("patch", f"/{made['id']}", {"active": True})
    assert (on["disabledReason"], on["disabledAt"]) == (None, None)


def test_it_deletes_a_webhook_and_what_was_on_its_way(call, tenant):
    _code, made = call("post", body=BODY)
    fanout.fan_out(make_facts(tenant))
    # As one vendor's client sends it.
    assert call("delete", f"/{made['id']}", content_type="application/x-www-form-urlencoded") == (204, None)
    assert call("delete", f"/{made['id']}")[0] == 404
    assert not DueCallback.objects.exists()
    assert Callback.objects.get().state == "dead"


def test_it_refuses_a_second_webhook_of_the_same_url_and_method_in_the_vendors_words(call):
    call("post", body=BODY)
    code, answer = call("post", body=BODY)
    assert (code, answer["message"]) == (409, "A webhook with the given url and method already exists.")
    code, other = call("post", body=BODY | {"method": "PUT"})
    assert code == 201
    assert call("patch", f"/{other['id']}", {"method": "POST"})[0] == 409


def test_it_lets_two_tenants_have_the_same_url_and_neither_see_the_others(call, stranger):
    _code, mine = call("post", body=BODY)
    assert stranger("post", body=BODY)[0] == 201
    assert len(call("get")[1]["pageData"]) == 1
    for method, body in (("get", None), ("patch", {"method": "PUT"}), ("delete", None)):
        code, answer = stranger(method, f"/{mine['id']}", body)
        assert code == 404
        assert isinstance(answer["message"], str)
    assert Webhook.objects.count() == 2


@pytest.mark.parametrize("key", ["nope", "7ca628a8-08b0-4e42-aeb8-960b37049c31", "%00", "a b", "..", "💥"])
def test_it_does_not_find_an_id_that_is_none(call, key):
    for method, body in (("get", None), ("patch", {"method": "PUT"}), ("delete", None)):
        assert call(method, f"/{key}", body)[0] == 404


BAD = {
    "no url": {"url": None},
    "no method": {"method": None},
    "no encoding": {"encoding": None},
    "no events": {"events": None},
    "empty events": {"events": []},
    "unknown event": {"events": ["SOMETHING_ELSE"]},
    "events no list": {"events": "DELIVERED_DR"},
    "events of numbers": {"events": [1]},
    "events of lists": {"events": [[]]},
    "url number": {"url": 5},
    "url other scheme": {"url": "ftp://a.test/"},
    "url no host": {"url": "http:///x"},
    "url empty": {"url": ""},
    "url long": {"url": "http://a.test/" + "x" * 1000},
    "url line end": {"url": "http://a.te\r\nst/"},
    "method other": {"method": "TRACE"},
    "method lower": {"method": "post"},
    "method list": {"method": ["POST"]},
    "encoding other": {"encoding": "YAML"},
    "headers list": {"headers": ["a"]},
    "headers string": {"headers": "a"},
    "header number": {"headers": {"a": 1}},
    "header null": {"headers": {"a": None}},
    "header content type": {"headers": {"content-TYPE": "text/plain"}},
    "header long name": {"headers": {"a" * 201: "x"}},
    "header long value": {"headers": {"a": "x" * 1001}},
    "header no token": {"headers": {"py/repr": "os/os.getpid()"}},
    "header line end": {"headers": {"a": "b\r\nc: d"}},
    "header empty name": {"headers": {"": "b"}},
    "timeout zero": {"read_timeout": 0},
    "timeout long": {"read_timeout": 60001},
    "timeout true": {"read_timeout": True},
    "timeout text": {"read_timeout": "20"},
    "retries many": {"retries": 6},
    "retries fraction": {"retries": 1.5},
    "delay short": {"retry_delay": 4},
    "delay long": {"retry_delay": 61},
    "format other": {"format": "xml"},
    "active text": {"active": "yes"},
    "template number": {"template": 5},
}


@pytest.mark.parametrize("name", BAD)
def test_it_refuses_a_bad_member_and_stores_nothing(call, name):
    code, answer = call("post", body=BODY | BAD[name])
    assert code == 400
    assert isinstance(answer["message"], str)
    assert answer["details"][0]["field"] in BAD[name]
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("body", ["{", "[]", '"x"', "null", '{"url": "a", "url": "b"}', '{"url": "\\u0000"}'])
def test_it_refuses_a_body_that_is_no_object(call, body):
    assert call("post", body=body)[0] == 400


def test_it_ignores_members_that_it_does_not_know(call):
    assert call("post", body=BODY | {"whatever": {"a": [1]}})[0] == 201


def test_it_needs_a_key_with_the_permission(client, tenant):
    assert client.get(BASE).status_code == 401
    assert Caller(client, tenant, ("messages:send",))("get")[0] == 403


def test_it_shows_no_other_webhooks_in_the_admin_form_than_for_reading(tenant, admin_client, settings):
    settings.ROOT_URLCONF = "config.urls"
    webhook = make_webhook(tenant)
    page = admin_client.get(f"/admin/webhooks/webhook/{webhook.pk}/change/")
    assert page.status_code == 200
    assert b"secret" not in page.content.lower().replace(b"csrf", b"")
