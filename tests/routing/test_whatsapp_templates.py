"""Templates read from Meta: all pages, what is gone is gone, and a failure changes nothing."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from gateway import tenants
from gateway.models import Template
from routing import provisioning
from routing.models import OperatorTemplate
from routing.provisioning import OperatorWish
from tests.fakes.http_listener import CLOSE, closed_port, status
from tests.fakes.whatsapp import ACCOUNT_ID, Meta

pytestmark = pytest.mark.django_db


def template(number, **more):
    return {
        "id": str(number),
        "name": f"t{number}",
        "language": "en_US",
        "category": "UTILITY",
        "status": "APPROVED",
        "components": [{"type": "BODY", "text": "Hello {{1}}"}],
    } | more


@pytest.fixture
def fake():
    with Meta() as running:
        running.templates = [template(number) for number in range(5)]
        yield running


@pytest.fixture
def add(fake):
    def make(slug="wa", *, token=Meta.TOKEN, **settings):
        given = fake.account(business_account_id=ACCOUNT_ID) | settings
        wish = OperatorWish(
            slug=slug, transport="whatsapp", channel="whatsapp", settings=given, secrets={"token": token}
        )
        return provisioning.add_operator(wish=wish)

    return make


def sync(*arguments):
    out = io.StringIO()
    call_command("sync_templates", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_it_reads_every_page(fake, add):
    operator = add()
    assert sync() == {"templates": 5, "operators": {"wa": 5}}
    rows = OperatorTemplate.objects.filter(operator_id=operator.pk).order_by("name")
    assert [row.name for row in rows] == ["t0", "t1", "t2", "t3", "t4"]
    assert (rows[0].language, rows[0].category, rows[0].status) == ("en_US", "UTILITY", "APPROVED")
    assert rows[0].components == [{"type": "BODY", "text": "Hello {{1}}"}]
    assert len(fake.requests) == 3


def test_what_is_gone_or_changed_there_is_so_here(fake, add):
    add()
    other = add("wa2")
    sync()
    fake.templates = [template(1, status="PAUSED"), template(1, language="fr", id="9")]
    assert sync("wa")["templates"] == 2
    rows = OperatorTemplate.objects.exclude(operator_id=other.pk).order_by("language")
    assert [(row.language, row.status) for row in rows] == [("en_US", "PAUSED"), ("fr", "APPROVED")]
    assert OperatorTemplate.objects.filter(operator_id=other.pk).count() == 5


@pytest.mark.parametrize(
    "steps",
    [
        [status(500, body=b"{}")],
        [status(200, body=b"<html>")],
        [status(200, body=b"[]")],
        [status(200, body=b'{"data": [{"id": 1}]}')],
        [status(302, headers="Location: http://elsewhere.example/")],
        [CLOSE],
    ],
    ids=["500", "html", "list", "half", "redirect", "closed"],
)
def test_a_failure_changes_nothing(fake, add, steps):
    add()
    sync()
    fake.play = lambda _request, _number: steps
    with pytest.raises(CommandError, match="wa: Meta"):
        sync()
    assert OperatorTemplate.objects.count() == 5


def test_one_operators_failure_is_not_anothers(add):
    add("bad", url=f"http://127.0.0.1:{closed_port()}")
    add("locked", token="wrong")
    add("good")
    with pytest.raises(CommandError) as found:
        sync()
    assert str(found.value).startswith("bad: Meta cannot be read")
    assert "locked: Meta refused, with HTTP status 401: (#190)" in str(found.value)
    assert OperatorTemplate.objects.count() == 5


def test_it_says_what_is_missing(add):
    add(business_account_id=None)
    with pytest.raises(CommandError, match="business_account_id is missing"):
        sync("wa")
    with pytest.raises(CommandError, match="no WhatsApp operator 'nobody'"):
        sync("nobody")
    assert sync() == {"templates": 0, "operators": {}}


def own(tenant, name, status="pending", channels=("whatsapp",), **more):
    return Template.objects.create(
        tenant=tenant,
        name=name,
        language="en-US",
        channels=list(channels),
        body="Hi {{1}}",
        status=status,
        **more,
    )


def test_a_tenants_template_is_what_whatsapp_made_of_it(fake, add):
    add()
    tenant, _secret = tenants.create(name="Acme")
    made = {
        "t0": own(tenant, "t0"),
        "t1": own(tenant, "t1", "approved"),
        "t2": own(tenant, "t2", channels=("sms", "whatsapp")),
        "t3": own(tenant, "t3", "rejected", reason="Not polite."),
        "t4": own(tenant, "t4"),
        "unknown": own(tenant, "unknown"),
    }
    fake.templates[1] |= {"status": "PAUSED"}
    fake.templates[4] |= {"status": "PENDING"}
    sync()
    for template in made.values():
        template.refresh_from_db()
    assert {name: each.status for name, each in made.items()} == {
        "t0": "approved",
        "t1": "rejected",
        "t2": "pending",
        "t3": "rejected",
        "t4": "pending",
        "unknown": "pending",
    }
    assert (made["t1"].reason, made["t3"].reason) == ("WhatsApp: paused", "Not polite.")
    fake.templates[1] |= {"status": "APPROVED"}
    sync()
    made["t1"].refresh_from_db()
    assert made["t1"].status == "approved"


@pytest.mark.parametrize(
    "told", [[{"id": "1", "name": {"a": 1}, "language": "en", "status": "APPROVED"}], [5], ["x"]]
)
def test_an_odd_answer_changes_nothing(fake, add, told):
    add()
    sync()
    fake.templates = told
    with pytest.raises(CommandError):
        sync()
    assert OperatorTemplate.objects.count() == 5
