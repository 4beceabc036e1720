"""Numbers given by command and in the admin."""

import io
import json
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from gateway import inbound
from gateway.inbound import Arrival
from gateway.models import Number
from routing.models import Operator


def run(*arguments: str) -> dict:
    out = io.StringIO()
    call_command("add_number", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_it_gives_a_number_by_command(tenants):
    Operator.objects.create(slug="one", transport="simulator")
    made = run("+14155550100", "--tenant", "acme")
    assert made == {
        "number": "14155550100",
        "tenant": "acme",
        "channel": "sms",
        "keyword": None,
        "operator": None,
        "removed": False,
    }
    assert run("4242", "--tenant", "other", "--keyword", "Join", "--operator", "one")["keyword"] == "JOIN"
    assert run("4242", "--tenant", "other", "--keyword", "join", "--operator", "one", "--remove")["removed"]
    assert Number.objects.get().tenant == tenants[0]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["4242"], "--tenant"),
        (["4242", "--tenant", "nobody"], "tenant 'nobody'"),
        (["4242", "--tenant", "acme", "--channel", "fax"], "--channel"),
        (["4242", "--tenant", "acme", "--channel", "rcs", "--operator", "one"], "carries sms"),
        (["4242", "--tenant", "acme", "--operator", "two"], "operator 'two'"),
        (["4242", "--tenant", "acme", "--keyword", "stop"], "keyword STOP"),
        (["4242", "--tenant", "acme", "--remove"], "does not have"),
        (["", "--tenant", "acme"], "number"),
    ],
)
def test_it_gives_no_number_that_makes_no_sense(tenants, arguments, names):
    Operator.objects.create(slug="one", transport="simulator")
    with pytest.raises(CommandError, match=names):
        run(*arguments)
    assert not Number.objects.exists()


@pytest.fixture
def chief(db) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("chief", password="x"))
    return client


def test_it_gives_and_takes_numbers_in_the_admin(chief, tenants):
    add, listing = reverse("admin:gateway_number_add"), reverse("admin:gateway_number_changelist")
    given = {
        "tenant": tenants[0].pk,
        "number": "+1 415 555 0100",
        "channel": "sms",
        "keyword": "",
        "operator": "",
    }
    assert chief.post(add, given).status_code == 302
    row = Number.objects.get()
    assert row.number == "14155550100"
    assert chief.post(add, given).status_code == 200
    refused = chief.post(add, given | {"keyword": "STOP"})
    assert "keyword" in refused.context["adminform"].form.errors
    assert "number" in chief.post(add, given | {"number": "+"}).context["adminform"].form.errors
    assert "14155550100" in chief.get(listing, {"q": "14155550100"}).content.decode()
    assert chief.get(reverse("admin:gateway_number_change", args=[row.pk])).status_code == 200
    chief.post(reverse("admin:gateway_number_delete", args=[row.pk]), {"post": "yes"})
    assert not Number.objects.exists()


def test_it_shows_what_is_nobodys(chief, tenants):
    for recipient in ("4242", "4243"):
        arrival = Arrival("one", "+14155550101", recipient, "Hello", datetime.now(tz=UTC), {})
        if recipient == "4242":
            inbound.store(arrivals=[arrival])
        else:
            inbound.receive(tenant_id=tenants[0].pk, arrivals=[arrival])
    page = reverse("admin:gateway_inboundmessage_changelist")
    for owner, there, not_there in (("nobody", "4242", "4243"), ("tenant", "4243", "4242")):
        shown = chief.get(page, {"owner": owner}).content.decode()
        assert f">{there}<" in shown
        assert f">{not_there}<" not in shown
