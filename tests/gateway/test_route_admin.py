"""Routes and breakers in the admin."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from routing.models import Operator, Route

pytestmark = pytest.mark.django_db


@pytest.fixture
def chief():
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("chief"))
    return client


@pytest.fixture
def operator():
    return Operator.objects.create(slug="one", transport="simulator", id_mode_seen="hex_to_decimal")


def route_form(operator, **fields):
    given = {"operator": operator.pk, "channel": "sms", "priority": "0", "weight": "1", "active": "on"}
    return given | {"windows": "[]"} | fields


def test_it_takes_all_that_a_route_can_match(chief, operator):
    window = '[{"days": [1], "from": "08:00", "to": "20:00", "zone": "Europe/Paris"}]'
    given = route_form(operator, country="fr", network="208", tag="otp", cost="0.0045", windows=window)
    page = reverse("admin:routing_route_add")
    assert chief.post(page, given).status_code == 302
    route = Route.objects.get()
    assert (route.country, route.network, route.tag, str(route.cost)) == ("FR", "208", "otp", "0.004500")
    assert route.windows[0]["zone"] == "Europe/Paris"
    assert "already" in chief.post(page, given).content.decode()
    assert "1 windows" in chief.get(reverse("admin:routing_route_changelist")).content.decode()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("country", "ZZ", "no country"),
        ("network", "20", "MCC"),
        ("cost", "-1", "cost"),
        ("windows", "{}", "JSON list"),
        ("windows", '[{"days": []}]', "[0].days"),
    ],
)
def test_it_shows_what_is_wrong_with_a_route(chief, operator, name, value, said):
    answer = chief.post(reverse("admin:routing_route_add"), route_form(operator, **{name: value}))
    assert answer.status_code == 200
    assert said in str(answer.context["adminform"].form.errors[name])
    assert not Route.objects.exists()


def test_it_shows_the_breaker_and_the_ids_that_were_seen(chief, operator):
    Operator.objects.filter(pk=operator.pk).update(
        tripped_until=timezone.now() + timedelta(minutes=1), tripped_reason="12 of 20 submits failed"
    )
    for page in (
        reverse("admin:routing_operator_changelist"),
        reverse("admin:routing_operator_change", args=[operator.pk]),
    ):
        shown = chief.get(page).content.decode()
        assert "12 of 20 submits failed" in shown
        assert "hex_to_decimal" in shown


def test_it_passes_an_operator_over_and_trusts_it_again(chief, operator):
    page = reverse("admin:routing_operator_changelist")
    stamp = operator.updated_at
    chief.post(page, {"action": "pass_over", "_selected_action": [operator.pk]})
    operator.refresh_from_db()
    assert operator.tripped_until > timezone.now() + timedelta(minutes=50)
    chief.post(page, {"action": "trust", "_selected_action": [operator.pk]})
    operator.refresh_from_db()
    assert (operator.tripped_until, operator.updated_at) == (None, stamp)
