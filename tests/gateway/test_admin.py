"""What the platform's people change in the admin, and what is kept of it."""

import json
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from gateway import keys, opt_outs, sealing
from gateway.models import ApiKey, OptOut, Template, Tenant
from routing import operators
from routing.models import Operator, Route

pytestmark = pytest.mark.django_db

SMPP = {"host": "127.0.0.1", "port": 2775, "system_id": "me"}


@pytest.fixture
def chief() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("chief"))
    return client


def address(name: str, *arguments: Any) -> str:
    return reverse(f"admin:{name}", args=arguments)


def wrong(answer: Any) -> str:
    """What a form that was refused says."""
    assert answer.status_code == 200
    form = answer.context["adminform"].form
    return json.dumps({**form.errors.get_json_data()})


def entries() -> list[list[dict[str, str]]]:
    """The values of each entry of the trail, oldest first."""
    kept = LogEntry.objects.order_by("id").values_list("change_message", flat=True)
    return [json.loads(message)[-1].get("values", []) for message in kept]


def trail() -> str:
    return json.dumps(list(LogEntry.objects.values("object_repr", "change_message")))


def key_form(tenant: Tenant, **given: Any) -> dict[str, Any]:
    return {"tenant": tenant.pk, "name": "one", "permissions": ["messages:send"]} | given


# Tenants


def test_makes_a_tenant_and_shows_its_secret_once(chief):
    answer = chief.post(
        address("gateway_tenant_add"), {"name": "Ärger & Co", "slug": "", "backlog_limit": "7"}
    )
    secret = re.search(r"whsec_[\w+/=]+", answer.content.decode())[0]
    tenant = Tenant.objects.get()
    assert (tenant.slug, tenant.active, tenant.backlog_limit) == ("arger-co", True, 7)
    assert sealing.open_(tenant.callback_secret, context=sealing.CONTEXT_TENANT_CALLBACK).decode() == secret
    assert "no-store" in answer["Cache-Control"]
    assert secret not in chief.get(address("gateway_tenant_change", tenant.pk)).content.decode()
    assert secret not in trail()
    assert LogEntry.objects.get().object_id == str(tenant.pk)


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"name": "日本"},
        {"name": "x", "slug": "A b"},
        {"name": "Acme"},
        {"name": "x", "backlog_limit": "-1"},
    ],
)
def test_makes_no_tenant_that_makes_no_sense(chief, acme, given):
    assert wrong(chief.post(address("gateway_tenant_add"), given)) != "{}"
    assert Tenant.objects.count() == 1


def test_deactivates_a_tenant_and_its_sandbox(chief, acme, other):
    picked = {"action": "deactivate", "_selected_action": [acme.tenant.pk, other.tenant.pk]}
    chief.post(address("gateway_tenant_changelist"), picked)
    assert not Tenant.everything.filter(active=True).exists()
    assert acme.get("/v1/messages").status == 401
    assert entries() == [[{"field": "active", "from": "True", "to": "False"}]] * 2
    chief.post(address("gateway_tenant_change", acme.tenant.pk), {"name": "Acme Ltd", "active": "on"})
    assert acme.get("/v1/messages").status == 200
    assert {"field": "Name", "from": "acme", "to": "Acme Ltd"} in entries()[2]


# Keys


def test_issues_a_key_and_shows_it_once(chief, acme):
    given = key_form(acme.tenant, allowed_networks="127.0.0.0/8\r\n\n::1", rate="5", burst="2")
    answer = chief.post(address("gateway_apikey_add"), given)
    page = answer.content.decode()
    api_key = re.search(r"tl_live_[\w-]+</code>", page)[0].removesuffix("</code>")
    api_secret = re.findall(r"<code>([\w-]+)</code>", page)[1]
    found = keys.find(api_key)
    assert found.has_secret(api_secret)
    assert (found.rate, found.burst, found.permissions) == (5.0, 2, {"messages:send"})
    row = ApiKey.objects.get(name="one")
    assert row.allowed_networks == ["127.0.0.0/8", "::1/128"]
    assert "no-store" in answer["Cache-Control"]
    everywhere = [
        *(
            chief.get(address(f"gateway_apikey_{name}", *key)).content.decode()
            for name, *key in (["changelist"], ["change", row.pk], ["history", row.pk])
        ),
        trail(),
        *(str(session.get_decoded()) for session in Session.objects.all()),
    ]
    assert not [text for text in everywhere if api_key in text or api_secret in text]
    assert {"field": "Rate", "from": "", "to": "5.0"} in entries()[0]


@pytest.mark.parametrize(
    ("given", "about"),
    [
        ({"permissions": []}, "permissions"),
        ({"permissions": ["all"]}, "permissions"),
        ({"allowed_networks": "10.0.0.0/8\nnowhere"}, "allowed_networks"),
        ({"allowed_networks": "10.0.0.1/8"}, "allowed_networks"),
        ({"rate": "0"}, "rate"),
        ({"rate": "nan"}, "rate"),
        ({"burst": "2"}, "burst"),
        ({"rate": "5", "burst": "0"}, "burst"),
        ({"rate": "5", "burst": "9" * 30}, "burst"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "expired"),
        ({"name": " "}, "name"),
        ({"name": "a\tb"}, "name"),
        ({"name": "test"}, "already"),
        ({"tenant": "0"}, "tenant"),
    ],
)
def test_issues_no_key_that_makes_no_sense(chief, acme, given, about):
    assert about in wrong(chief.post(address("gateway_apikey_add"), key_form(acme.tenant) | given))
    assert ApiKey.objects.count() == 1


def test_issues_no_key_to_a_sandbox(chief, acme):
    given = key_form(acme.tenant) | {"tenant": -acme.tenant.pk}
    assert "tenant" in wrong(chief.post(address("gateway_apikey_add"), given))


def test_narrows_a_key(chief, acme):
    row = ApiKey.objects.get()
    page = address("gateway_apikey_change", row.pk)
    chief.post(page, {"permissions": ["reports:read"], "allowed_networks": "127.0.0.1", "rate": "9"})
    found = keys.find(acme.api_key)
    assert (found.permissions, found.rate) == ({"reports:read"}, 9.0)
    assert {"field": "Rate", "from": "", "to": "9.0"} in entries()[0]
    assert {"field": "Allowed networks", "from": "", "to": "127.0.0.1/32"} in entries()[0]
    assert "127.0.0.1/32" in chief.get(page).content.decode()
    assert ApiKey.objects.get().secret == row.secret


@pytest.mark.parametrize("way", ["button", "action"])
def test_revokes_a_key(chief, acme, other, way):
    row = ApiKey.objects.get(tenant=acme.tenant)
    assert "Revoke this key" in chief.get(address("gateway_apikey_change", row.pk)).content.decode()
    if way == "button":
        assert chief.get(address("gateway_apikey_revoke", row.pk)).status_code == 405
        chief.post(address("gateway_apikey_revoke", row.pk))
        chief.post(address("gateway_apikey_revoke", row.pk))
    else:
        chief.post(address("gateway_apikey_changelist"), {"action": "revoke", "_selected_action": [row.pk]})
    assert acme.get("/v1/messages").status == 401
    assert other.get("/v1/messages").status == 200
    assert [values[0]["field"] for values in entries()] == ["revoked_at"]
    assert "Revoke this key" not in chief.get(address("gateway_apikey_change", row.pk)).content.decode()
    assert (
        chief.post(address("gateway_apikey_change", row.pk), {"permissions": ["messages:send"]}).status_code
        == 403
    )


# Operators and routes


def operator_form(**given: Any) -> dict[str, Any]:
    shared = {"slug": "one", "transport": "smpp", "channel": "sms", "id_mode": "as_is", "active": "on"}
    blank = {"routes-TOTAL_FORMS": "0", "routes-INITIAL_FORMS": "0"}
    settings = {"settings": json.dumps(SMPP), "on_unknown_outcome": "retry"}
    return {**shared, **blank, **settings, **given}


def add_operator(chief: Client, **given: Any) -> Operator:
    answer = chief.post(address("routing_operator_add"), operator_form(**given))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    return Operator.objects.get(slug="one")


def test_adds_an_operator_and_keeps_its_secrets_to_itself(chief):
    operator = add_operator(chief, password="hush-1", other_secrets="token=hush-2", rate="100")
    assert operators.settings_of(operator).secrets == {"password": "hush-1", "token": "hush-2"}
    page = address("routing_operator_change", operator.pk)
    assert "hush" not in chief.get(page).content.decode()
    assert "password, token" in chief.get(page).content.decode()
    assert "hush" not in trail()
    chief.post(page, operator_form(other_secrets="token="))
    operator.refresh_from_db()
    assert operators.settings_of(operator).secrets == {"password": "hush-1"}
    assert operator.rate is None
    assert {"field": "Rate", "from": "100.0", "to": ""} in entries()[1]
    assert "hush" not in trail()


@pytest.mark.parametrize(
    ("given", "about"),
    [
        ({"settings": "{"}, "settings"),
        ({"settings": "[]"}, "object"),
        ({"settings": "{}"}, "host is missing"),
        ({"settings": json.dumps({**SMPP, "colour": "red"})}, "colour"),
        ({"settings": '{"host": "a\\u0000b", "port": 1, "system_id": "x"}'}, "null character"),
        ({"settings": '{"host": "a\\ud800b", "port": 1, "system_id": "x"}'}, "cannot hold"),
        ({"settings": '{"host": "a", "port": NaN, "system_id": "x"}'}, "cannot hold"),
        ({"slug": "o ne"}, "slug"),
        ({"transport": "pigeon"}, "transport"),
        ({"rate": "0"}, "rate"),
        ({"other_secrets": "token"}, "name=value"),
    ],
)
def test_adds_no_operator_that_makes_no_sense(chief, given, about):
    answer = chief.post(address("routing_operator_add"), operator_form(password="hush-1", **given))
    assert about in wrong(answer)
    assert b"hush" not in answer.content
    assert not Operator.objects.filter(pk__gt=0).exists()


def test_keeps_what_became_of_an_operators_routes(chief):
    operator = add_operator(chief)
    row = {
        "routes-0-channel": "sms",
        "routes-0-prefix": "33",
        "routes-0-priority": "0",
        "routes-0-weight": "1",
    }
    given = operator_form(**row, **{"routes-0-active": "on"}) | {"routes-TOTAL_FORMS": "1"}
    page = address("routing_operator_change", operator.pk)
    assert chief.post(page, given).status_code == 302
    route = Route.objects.get(operator=operator)
    there = {"routes-INITIAL_FORMS": "1", "routes-0-id": route.pk, "routes-0-operator": operator.pk}
    assert chief.post(page, given | there | {"routes-0-weight": "7"}).status_code == 302
    assert [(value["from"], value["to"]) for value in entries()[2]] == [("1", "7")]
    assert entries()[2][0]["field"].endswith("Weight")
    assert chief.post(page, given | there | {"routes-0-DELETE": "on"}).status_code == 302
    assert entries()[3][0]["to"] == "deleted"
    assert not Route.objects.filter(operator=operator).exists()


def test_says_how_an_operators_workers_are(chief):
    operator = add_operator(chief)
    from routing.contract import TransportState

    assert "no worker" in chief.get(address("routing_operator_changelist")).content.decode()
    operators.report(
        worker="w1", states={operator.pk: TransportState(up=True, window=10, detail={"bound": 2})}
    )
    operators.report(worker="w2", states={operator.pk: TransportState(up=False, window=10)})
    assert "up (1 of 2 workers)" in chief.get(address("routing_operator_changelist")).content.decode()
    assert "bound 2" in chief.get(address("routing_operator_change", operator.pk)).content.decode()


def test_leaves_the_platforms_own_operators_alone(chief):
    Operator.objects.filter(pk=-2).delete()
    Operator.objects.create(pk=-2, slug="own", transport="simulator")
    page = address("routing_operator_change", -2)
    assert 'name="_save"' not in chief.get(page).content.decode()
    assert chief.post(page, operator_form()).status_code == 403
    chief.post(address("routing_operator_changelist"), {"action": "deactivate", "_selected_action": [-2]})
    assert Operator.objects.get(pk=-2).active


def test_adds_routes(chief, acme):
    operator = add_operator(chief)
    given = {
        "operator": operator.pk,
        "tenant_id": acme.tenant.pk,
        "channel": "sms",
        "prefix": "+33",
        "priority": "5",
        "weight": "1",
        "active": "on",
    }
    assert chief.post(address("routing_route_add"), given).status_code == 302
    route = Route.objects.get()
    assert (route.prefix, route.tenant_id, route.priority) == ("33", acme.tenant.pk, 5)
    assert "already" in wrong(chief.post(address("routing_route_add"), given))
    for name, value in (("prefix", "abc"), ("weight", "0"), ("tenant_id", "99999"), ("channel", "fax")):
        assert name in wrong(chief.post(address("routing_route_add"), {**given, name: value}))
    assert Route.objects.count() == 1


# Templates


def make_template(tenant: Tenant, name: str = "hello") -> Template:
    return Template.objects.create(
        tenant=tenant, name=name, language="en", channels=["whatsapp"], body="Hi {{name}}", category="utility"
    )


def test_decides_on_a_template(chief, acme):
    template = make_template(acme.tenant)
    page = address("gateway_template_change", template.pk)
    assert "reason" in wrong(chief.post(page, {"decision": "reject", "reason": " "}))
    chief.post(page, {"decision": "reject", "reason": "Too short"})
    template.refresh_from_db()
    assert (template.status, template.reason) == ("rejected", "Too short")
    chief.post(page, {"decision": "approve", "reason": ""})
    template.refresh_from_db()
    assert template.status == "approved"
    said = [(values[0]["from"], values[0]["to"]) for values in entries()]
    assert said == [("pending", "rejected: Too short"), ("rejected", "approved")]


def test_decides_on_many_templates(chief, acme, other):
    made = [make_template(acme.tenant), make_template(other.tenant)]
    picked = {"_selected_action": [template.pk for template in made]}
    chief.post(address("gateway_template_changelist"), {"action": "reject", "reason": "", **picked})
    assert Template.objects.filter(status="pending").count() == 2
    chief.post(address("gateway_template_changelist"), {"action": "reject", "reason": "No", **picked})
    assert set(Template.objects.values_list("status", "reason")) == {("rejected", "No")}
    chief.post(address("gateway_template_changelist"), {"action": "approve", **picked})
    assert set(Template.objects.values_list("status", flat=True)) == {"approved"}
    assert LogEntry.objects.count() == 4


# Consent


def test_opts_out_and_in(chief, acme, other):
    given = {"tenant": acme.tenant.pk, "phone": "+1 415 555 0101", "sender": "", "reason": "By post"}
    assert chief.post(address("gateway_optout_add"), given).status_code == 302
    row = OptOut.objects.get()
    assert (row.phone, row.source, row.reason) == ("+14155550101", "admin", "By post")
    assert chief.post(address("gateway_optout_add"), given).status_code == 200
    assert "phone" in wrong(chief.post(address("gateway_optout_add"), {**given, "phone": "x"}))
    assert opt_outs.blocked(
        wanted=[(acme.tenant.pk, row.phone, None), (other.tenant.pk, row.phone, None)]
    ) == [True, False]
    for way in ("14155550101", "+1 (415) 555-0101"):
        assert "+14155550101" in chief.get(address("gateway_optout_changelist"), {"q": way}).content.decode()
    assert (
        "+14155550101"
        not in chief.get(address("gateway_optout_changelist"), {"q": "+14155550"}).content.decode()
    )
    chief.post(address("gateway_optout_delete", row.pk), {"post": "yes"})
    assert not OptOut.objects.exists()
    assert LogEntry.objects.count() == 2
    assert "4155550101" not in trail()


def test_removes_many_opt_outs_with_a_line_each(chief, acme):
    for number in ("+14155550101", "+14155550102"):
        opt_outs.add(tenant_id=acme.tenant.pk, phone=number, sender="", source="api")
    picked = {
        "action": "delete_selected",
        "post": "yes",
        "_selected_action": list(OptOut.objects.values_list("pk", flat=True)),
    }
    chief.post(address("gateway_optout_changelist"), picked)
    assert not OptOut.objects.exists()
    assert LogEntry.objects.count() == 2


# The trail


def test_lets_nobody_touch_the_trail(chief, acme):
    chief.post(address("gateway_tenant_change", acme.tenant.pk), {"name": "Acme <b>Ltd</b>", "active": "on"})
    entry = LogEntry.objects.get()
    page = chief.get(address("admin_logentry_changelist"), {"q": "Ltd"}).content.decode()
    assert "acme → Acme &lt;b&gt;Ltd&lt;/b&gt;" in page
    for name in ("change", "delete"):
        assert chief.post(address(f"admin_logentry_{name}", entry.pk), {"post": "yes"}).status_code == 403
    picked = {"action": "delete_selected", "post": "yes", "_selected_action": [entry.pk]}
    chief.post(address("admin_logentry_changelist"), picked)
    chief.post(address("auth_user_delete", entry.user_id), {"post": "yes"})
    picked["_selected_action"] = [entry.user_id]
    chief.post(address("auth_user_changelist"), picked)
    assert LogEntry.objects.filter(pk=entry.pk).exists()


def test_keeps_no_password_in_the_trail(chief):
    given = {
        "username": "new",
        "password1": "hush-hush-1",
        "password2": "hush-hush-1",
        "usable_password": "true",
    }
    assert chief.post(address("auth_user_add"), given).status_code == 302
    user = User.objects.get(username="new")
    given = {
        "username": "new",
        "is_staff": "on",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    assert chief.post(address("auth_user_change", user.pk), given).status_code == 302
    chief.post(
        address("auth_user_password_change", user.pk),
        {"password1": "hush-hush-2", "password2": "hush-hush-2"},
    )
    assert "hush" not in trail()
    assert {"field": "Staff status", "from": "False", "to": "True"} in entries()[1]


def test_lets_only_superusers_say_what_others_may_do(chief):
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_user", "change_user", "add_group"])
    )
    clerk = Client()
    clerk.force_login(user)
    given = {
        "username": "clerk",
        "is_staff": "on",
        "is_active": "on",
        "is_superuser": "on",
        "last_name": "New",
    }
    dates = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    assert clerk.post(address("auth_user_change", user.pk), {**given, **dates}).status_code == 302
    user.refresh_from_db()
    assert (user.last_name, user.is_superuser, user.user_permissions.count()) == ("New", False, 3)
    boss = User.objects.get(username="chief")
    passwords = {"password1": "hush-hush-2", "password2": "hush-hush-2"}
    assert clerk.post(address("auth_user_password_change", boss.pk), passwords).status_code == 403
    assert clerk.post(address("auth_user_change", boss.pk), given).status_code == 403
    assert clerk.get(address("auth_group_add")).status_code == 403


@pytest.mark.parametrize(
    "given", [{"status__exact": "a\0b"}, {"channel": "\0"}, {"day": "\0"}, {"tenant": "\0"}, {"q": "\0"}]
)
def test_takes_a_null_character_for_nothing(chief, acme, given):
    assert chief.get(address("gateway_message_changelist"), given).status_code in {200, 302}
