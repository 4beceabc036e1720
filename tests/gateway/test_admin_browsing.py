"""What the platform's people found in a browser: odd addresses, values that must be told apart, policies."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateway.admin import policy
from gateway.models import ApiKey, Event
from routing.models import Operator, ParkedReceipt, Route
from tests.factories import message
from webhooks.models import Webhook

pytestmark = pytest.mark.django_db

SMPP = {"host": "127.0.0.1", "port": 2775, "system_id": "me"}


@pytest.fixture
def chief() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("chief"))
    return client


def page(client: Client, name: str, *arguments, **query) -> str:
    answer = client.get(reverse(f"admin:{name}", args=arguments), query)
    assert answer.status_code == 200
    return answer.content.decode()


def operator_form(*prefixes: str) -> dict[str, str]:
    """An operator with a route for each prefix."""
    form = {
        "slug": "one",
        "transport": "smpp",
        "channel": "sms",
        "id_mode": "as_is",
        "on_unknown_outcome": "retry",
        "settings": json.dumps(SMPP),
        "routes-TOTAL_FORMS": str(len(prefixes)),
        "routes-INITIAL_FORMS": "0",
    }
    for place, prefix in enumerate(prefixes):
        row = {"channel": "sms", "prefix": prefix, "priority": "0", "weight": "1", "active": "on"}
        form |= {f"routes-{place}-{name}": value for name, value in row.items()}
    return form


@pytest.mark.parametrize("number", ["-1", "0", "-9999999999", "x", "9" * 40])
def test_shows_a_page_whatever_its_number(chief, acme, number):
    acme.post("/v1/messages", message())
    assert "Page " in page(chief, "gateway_message_changelist", p=number)


def test_names_no_total_that_nobody_counted(chief, acme):
    acme.post("/v1/messages", message())
    assert "total" not in page(chief, "gateway_message_changelist")
    assert "None" not in page(chief, "gateway_message_changelist", q="order-1")


def test_adds_an_operator_with_its_routes_on_one_page(chief):
    answer = chief.post(reverse("admin:routing_operator_add"), operator_form("33", "49"))
    assert answer.status_code == 302
    assert set(Route.objects.values_list("operator__slug", "prefix")) == {("one", "33"), ("one", "49")}


def test_adds_no_route_twice_on_one_page(chief):
    answer = chief.post(reverse("admin:routing_operator_add"), operator_form("33", "+33"))
    assert "That route is there twice." in answer.content.decode()
    assert not Operator.objects.filter(slug="one").exists()


@pytest.mark.parametrize("settings", ["9" * 5000, "[" * 100_000, '{"port": ' + "9" * 5000 + "}"])
def test_refuses_settings_that_no_reader_of_json_takes(chief, settings):
    answer = chief.post(reverse("admin:routing_operator_add"), operator_form() | {"settings": settings})
    assert "too long" in str(answer.context["adminform"].form.errors["settings"])


@pytest.mark.parametrize("tenant", ["x", "a\0b", "9" * 5000, "nan", "-", "😀", " "])
@pytest.mark.parametrize("name", ["gateway_apikey_add", "gateway_optout_add"])
def test_shows_a_form_again_whatever_its_tenant_was(chief, name, tenant):
    answer = chief.post(reverse(f"admin:{name}"), {"tenant": tenant, "name": "x", "phone": "+14155550101"})
    assert "tenant" in answer.context["adminform"].form.errors


@pytest.mark.parametrize("key", ["a\0b", "x", "9" * 60, "😀", ""])
@pytest.mark.parametrize(
    ("model", "action"),
    [
        ("gateway_apikey", "revoke"),
        ("gateway_optout", "delete_selected"),
        ("gateway_tenant", "deactivate"),
        ("routing_operator", "deactivate"),
        ("routing_route", "delete_selected"),
    ],
)
def test_does_nothing_to_rows_that_cannot_be(chief, acme, model, action, key):
    given = {"action": action, "_selected_action": [key], "post": "yes"}
    assert chief.post(reverse(f"admin:{model}_changelist"), given).status_code == 302
    assert acme.get("/v1/messages").status == 200


def test_looks_for_a_tenant_by_any_text(chief, acme, other):
    asked = {"app_label": "gateway", "model_name": "apikey", "field_name": "tenant"}
    for term, found in (("acm", ["acme"]), ("acm\0", ["acme"]), ("😀", [])):
        answer = chief.get(reverse("admin:autocomplete"), asked | {"term": term})
        assert [one["text"] for one in answer.json()["results"]] == found


@pytest.mark.parametrize("name", ["a\r\nX: b", "a\u202eb", "a\tb"])
def test_names_no_tenant_what_cannot_be_read(chief, acme, name):
    answer = chief.post(reverse("admin:gateway_tenant_add"), {"name": name, "slug": "new"})
    assert "name" in answer.context["adminform"].form.errors


@pytest.mark.parametrize("name", ["routing_operator", "routing_route"])
def test_asks_as_much_for_many_rows_as_for_one(chief, acme, name):
    def add(slug: str) -> int:
        operator = Operator.objects.create(slug=slug, transport="simulator")
        Route.objects.create(operator=operator, tenant_id=acme.tenant.pk)
        with CaptureQueriesContext(connection) as asked:
            assert slug in page(chief, f"{name}_changelist")
        return len(asked)

    page(chief, f"{name}_changelist")
    first = add("first")
    add("second")
    assert add("third") == first


def test_begins_an_operators_settings_with_an_object(chief):
    form = chief.get(reverse("admin:routing_operator_add")).context["adminform"].form
    assert ">\n{}</textarea>" in str(form["settings"])


@pytest.mark.parametrize("state", ["good", "expired", "revoked"])
def test_filters_keys_by_their_state(chief, acme, state):
    now = datetime.now(tz=UTC)
    shared = {"tenant": acme.tenant, "prefix": "tl_live_x", "secret": b"x", "permissions": []}
    for name, given in {
        "is-expired": {"expires_at": now - timedelta(hours=1)},
        "is-revoked": {"revoked_at": now, "expires_at": now - timedelta(hours=1)},
        "is-good": {"expires_at": now + timedelta(hours=1)},
    }.items():
        ApiKey.objects.create(name=name, fingerprint=name.encode(), **shared, **given)
    listed = page(chief, "gateway_apikey_changelist", state=state)
    names = {"is-good", "is-expired", "is-revoked"}
    assert {name for name in names if f">{name}<" in listed} == {f"is-{state}"}


def test_revokes_a_key_by_a_second_step(chief, acme):
    shown = page(chief, "gateway_apikey_change", ApiKey.objects.get().pk)
    step = shown.partition("<details><summary>Revoke this key</summary>")[2].partition("</details>")[0]
    assert "Revoke for good</button>" in step


def test_names_whose_an_event_is(chief, acme):
    acme.post("/v1/messages", message(), x_developer_mode="true")
    assert "(sandbox)" in page(chief, "gateway_event_change", Event.objects.get().pk)


def test_names_the_operator_of_a_parked_receipt(chief):
    operator = Operator.objects.create(slug="far", transport="simulator")
    now = datetime.now(tz=UTC)
    shared = {"remote_id": "77", "receipt": {"a": 1}, "received_at": now, "next_match_at": now}
    ParkedReceipt.objects.create(operator_id=operator.pk, **shared)
    gone = ParkedReceipt.objects.create(operator_id=987654, **shared)
    listed = page(chief, "routing_parkedreceipt_changelist")
    assert ">far<" in listed
    assert ">987654<" in listed
    assert "987654" in page(chief, "routing_parkedreceipt_change", gone.pk)


def test_gives_the_units_of_a_webhooks_times(chief, acme):
    hook = {"url": "https://example.com/", "method": "POST", "encoding": "JSON", "events": []}
    row = Webhook.objects.create(tenant=acme.tenant, read_timeout=1500, secret=b"x", **hook)
    shown = page(chief, "webhooks_webhook_change", row.pk)
    assert "Read timeout (ms)" in shown
    assert "1500" in shown
    assert "Retry delay (s)" in shown


def test_says_which_clock_the_moments_are_of(chief):
    assert "Moments are in UTC." in page(chief, "index")


def test_has_its_styles_and_asks_for_no_icon(chief):
    shown = page(chief, "index")
    assert "/static/gateway/admin.css" in shown
    assert finders.find("gateway/admin.css")
    assert '<link rel="icon" href="data:,">' in shown


@pytest.mark.parametrize(
    "name", ["index", "gateway_message_changelist", "gateway_apikey_add", "routing_operator_add"]
)
def test_has_nothing_on_its_pages_that_the_policy_forbids(chief, acme, name):
    shown = page(chief, name)
    assert "<style" not in shown
    assert " onclick=" not in shown
    assert "<script>" not in shown


def test_sends_a_policy_with_pages_only():
    answers = iter(
        [
            HttpResponse("<p>", content_type="text/html; charset=utf-8"),
            HttpResponse("{}", content_type="application/json"),
            HttpResponse("<p>", headers={"Content-Security-Policy": "default-src 'none'"}),
        ]
    )
    send = policy.middleware(lambda request: next(answers))
    policies = [send(RequestFactory().get("/")).get("Content-Security-Policy") for _ in range(3)]
    assert policies == [policy.POLICY, None, "default-src 'none'"]
