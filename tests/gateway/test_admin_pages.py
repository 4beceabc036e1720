"""The admin's pages hold for every model, and for those who may only look."""

from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateway import ids, opt_outs
from gateway.admin import messages, reading
from gateway.models import ApiKey, Contact, Event, InboundMessage, Message, OptOut, Tenant
from tests.factories import message

pytestmark = pytest.mark.django_db

REGISTERED = [
    model
    for model in admin.site._registry
    if model._meta.app_label in {"gateway", "routing", "webhooks", "admin", "auth"}
]


@pytest.fixture
def chief() -> Client:
    return signed_in(User.objects.create_superuser("chief"))


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def address(model, page: str = "changelist", *arguments) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def looker(*permissions: str) -> Client:
    """A member of staff who may view some models."""
    user = User.objects.create_user("looker", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return signed_in(user)


def test_knows_what_has_a_key_of_one_column():
    composite = {"IdempotencyKey", "OperatorState", "Attempt"}
    assert composite & {model.__name__ for model in apps.get_models()} == composite
    assert not composite & {model.__name__ for model in REGISTERED}


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model.__name__)
def test_shows_the_list_and_the_form_of_every_model(chief, acme, model):
    acme.post("/v1/messages", message())
    opt_outs.add(tenant_id=acme.tenant.pk, phone="+14155550199", sender="", source="api")
    assert chief.get(address(model)).status_code == 200
    assert chief.get(address(model), {"q": "x"}).status_code == 200
    assert chief.get(address(model), {"q": str(ids.one())}).status_code == 200
    assert chief.get(address(model), {"q": "+14155550101"}).status_code == 200
    assert chief.get(
        address(model), {"p": "7", "tenant": "9" * 30, "day": "2026-99-01", "o": "1"}
    ).status_code in {200, 302}
    row = model._default_manager.first()
    if row is not None:
        assert chief.get(address(model, "change", row.pk)).status_code == 200
        assert chief.get(address(model, "history", row.pk)).status_code == 200
    allowed = admin.site._registry[model].has_add_permission(chief.get("/admin/").wsgi_request)
    assert chief.get(address(model, "add")).status_code == (200 if allowed else 403)


def test_says_nothing_of_the_index_to_a_stranger():
    assert Client().get("/admin/").status_code == 302


@pytest.mark.parametrize("mode", [{}, {"x_developer_mode": "true"}], ids=["production", "sandbox"])
@pytest.mark.parametrize("wanted", ["id", "client", "recipient", "bare"])
def test_finds_a_message(chief, acme, other, wanted, mode):
    made = acme.post("/v1/messages", message(to="+14155550107", clientMessageId="order-42"), **mode).json
    other.post("/v1/messages", message(to="+14155550108", clientMessageId="order-43"))
    term = {"id": made["id"], "client": "order-42", "recipient": "+14155550107", "bare": "14155550107"}[
        wanted
    ]
    page = chief.get(address(Message), {"q": term}).content.decode()
    assert "+14155550107" in page
    assert "+14155550108" not in page


def test_filters_messages_by_tenant_status_channel_and_day(chief, acme, other):
    acme.post("/v1/messages", message(to="+14155550107"))
    other.post("/v1/messages", message(to="+14155550108"))
    today = Message.objects.first().created_at.date().isoformat()
    mine = {"tenant": acme.tenant.pk, "status": "accepted", "channel": "sms", "day": today}
    page = chief.get(address(Message), mine).content.decode()
    assert "+14155550107" in page
    assert "+14155550108" not in page
    assert "+14155550107" not in chief.get(address(Message), {"day": "2020-01-01"}).content.decode()


def test_looks_at_the_last_day_for_what_has_no_index(chief, acme):
    acme.post("/v1/messages", message(to="+14155550107"))
    old = ids.floor(datetime.now(tz=UTC) - timedelta(hours=25))
    Message.objects.update(id=old)
    for given, there in (({}, True), ({"tenant": acme.tenant.pk}, True), ({"status": "accepted"}, False)):
        page = chief.get(address(Message), given).content.decode()
        assert ("+14155550107" in page) is there
        assert ("last 24 hours" in page) is not there
    day = {"status": "accepted", "day": ids.moment(old).date().isoformat()}
    assert "+14155550107" in chief.get(address(Message), day).content.decode()


def test_shows_a_message_with_its_timeline(chief, acme):
    made = acme.post("/v1/messages", message()).json
    page = chief.get(address(Message, "change", made["id"])).content.decode()
    assert "message.accepted" in page
    assert "Your code is 123456" in page
    assert 'name="_save"' not in page


def test_changes_nothing_of_the_ledger(chief, acme):
    made = acme.post("/v1/messages", message()).json
    assert chief.post(address(Message, "change", made["id"]), {"text": "no"}).status_code == 403
    assert chief.post(address(Message, "delete", made["id"]), {"post": "yes"}).status_code == 403
    assert chief.post(address(Tenant, "delete", acme.tenant.pk), {"post": "yes"}).status_code == 403


def test_never_counts_the_ledger(chief, acme):
    for _ in range(3):
        acme.post("/v1/messages", message())
    with CaptureQueriesContext(connection) as asked:
        page = chief.get(address(Message), {"_facets": "True"}).content.decode()
    assert page.count("+14155550101") == 3
    assert "Show counts" not in page
    ours = [query["sql"] for query in asked if "gateway_message" in query["sql"]]
    assert len(ours) == 1
    assert not [sql for sql in ours if "count(" in sql.lower()]


def test_turns_pages_without_a_count(chief, acme, monkeypatch):
    monkeypatch.setattr(admin.site._registry[Message], "list_per_page", 2)
    made = [acme.post("/v1/messages", message()).json["id"] for _ in range(3)]
    first = chief.get(address(Message)).content.decode()
    second = chief.get(address(Message), {"p": "2"}).content.decode()
    assert [key in first for key in made] == [False, True, True]
    assert [key in second for key in made] == [True, False, False]
    assert ["Older" in page for page in (first, second)] == [True, False]
    assert ["Newer" in page for page in (first, second)] == [False, True]


def test_gives_up_a_list_that_takes_too_long(chief, acme, monkeypatch):
    monkeypatch.setattr(reading, "PATIENCE", 50)
    monkeypatch.setattr(
        messages.MessageAdmin, "found", lambda self, rows, term: rows.extra(where=["pg_sleep(1) IS NOT NULL"])
    )
    acme.post("/v1/messages", message())
    answer = chief.get(address(Message), {"q": "slow"}, follow=True)
    assert "taken too long" in answer.content.decode()


def test_lets_a_looker_look(acme):
    made = acme.post("/v1/messages", message()).json
    client = looker("view_message", "view_apikey")
    assert "+14155550101" in client.get(address(Message)).content.decode()
    assert "Your code" in client.get(address(Message, "change", made["id"])).content.decode()
    assert 'name="_save"' not in client.get(address(Message, "change", made["id"])).content.decode()
    for model in (Event, InboundMessage, Contact, OptOut, Tenant):
        assert client.get(address(model)).status_code == 403
    row = ApiKey.objects.get()
    page = client.get(address(ApiKey, "change", row.pk)).content.decode()
    assert "Revoke this key" not in page
    assert client.post(address(ApiKey, "revoke", row.pk)).status_code == 403
    assert client.get(address(ApiKey, "add")).status_code == 403


def test_shows_no_messages_to_who_may_not_view_them(acme):
    made = acme.post("/v1/messages", message()).json
    client = looker("view_tenant")
    for page in (
        address(Message),
        address(Message, "change", made["id"]),
        address(Message, "history", made["id"]),
    ):
        answer = client.get(page)
        assert answer.status_code in {302, 403}
        assert b"+14155550101" not in answer.content
