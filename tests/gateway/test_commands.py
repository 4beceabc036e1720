import io
import json

import pytest
from django.core.management import CommandError, call_command

from gateway import keys, sealing, statuses
from gateway.models import Tenant
from routing import operators
from routing.models import Operator, Route

pytestmark = pytest.mark.django_db


def run(name: str, *arguments: str) -> dict:
    out = io.StringIO()
    call_command(name, *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_makes_a_tenant():
    made = run("create_tenant", "Ärger & Co")
    tenant = Tenant.objects.get()
    assert (made["slug"], tenant.name) == ("arger-co", "Ärger & Co")
    assert made["callbackSecret"].startswith("whsec_")
    opened = sealing.open_(tenant.callback_secret, context=sealing.CONTEXT_TENANT_CALLBACK)
    assert opened.decode() == made["callbackSecret"]
    assert run("create_tenant", "Ärger & Co", "--slug", "second")["slug"] == "second"


@pytest.mark.parametrize(
    "arguments",
    [["Acme"], ["Other", "--slug", "acme"], [""], ["a\x01b"], ["x", "--slug", "A b"], ["日本"], []],
)
def test_makes_no_tenant_that_makes_no_sense(arguments):
    run("create_tenant", "Acme")
    with pytest.raises(CommandError):
        run("create_tenant", *arguments)


def test_issues_and_revokes_a_key():
    run("create_tenant", "Acme")
    first = run(
        "issue_key",
        "--tenant",
        "acme",
        "--name",
        "one",
        "--permission",
        "messages:send",
        "--rate",
        "5",
        "--burst",
        "2",
    )
    second = run(
        "issue_key", "--tenant", "Acme", "--name", "two", "--allow-ip", "::1", "--expires", "2999-01-01"
    )
    found = keys.find(first["apiKey"])
    assert (found.rate, found.burst, found.permissions) == (5.0, 2, {"messages:send"})
    assert keys.find(second["apiKey"]).has_secret(second["apiSecret"])
    assert run("revoke_key", first["apiKey"][:14])["name"] == "one"
    assert keys.find(first["apiKey"]) is None
    assert run("revoke_key", second["apiKey"])["revokedAt"]
    assert keys.find(second["apiKey"]) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["issue_key", "--tenant", "nobody", "--name", "x"],
        ["issue_key", "--tenant", "acme", "--name", "x", "--permission", "all"],
        ["issue_key", "--tenant", "acme", "--name", "x", "--expires", "soon"],
        ["issue_key", "--tenant", "acme", "--name", "x", "--rate", "fast"],
        ["issue_key", "--tenant", "acme"],
        ["revoke_key"],
        ["revoke_key", "tl_live_"],
        ["revoke_key", "tl_live_x"],
        ["revoke_key", "--tenant", "acme", "--name", "x"],
        ["add_operator", "one"],
        ["add_operator", "one", "--transport", "http"],
        ["add_operator", "one", "--transport", "pigeon"],
        ["add_operator", "o ne", "--transport", "simulator"],
        ["add_operator", "one", "--transport", "smpp"],
        ["add_operator", "one", "--transport", "simulator", "--rate", "0"],
        ["add_operator", "one", "--transport", "simulator", "--set", "x"],
        ["add_operator", "one", "--update"],
        ["add_route", "--operator", "one"],
        ["add_route", "--operator", "sim", "--prefix", "abc"],
        ["add_route", "--operator", "sim", "--weight", "0"],
        ["add_route", "--operator", "sim", "--tenant", "nobody"],
        ["add_operator", "sim", "--transport", "simulator"],
    ],
)
def test_ends_with_an_error_on_bad_input(arguments):
    run("create_tenant", "Acme")
    run("add_operator", "sim", "--transport", "simulator")
    with pytest.raises(CommandError):
        run(*arguments)
    assert Operator.objects.filter(pk__gt=0).count() == 1


def test_adds_an_operator_with_its_secrets_sealed():
    options = ["--transport", "smpp", "--host", "127.0.0.1", "--port", "2775", "--system-id", "me"]
    run(
        "add_operator",
        "one",
        *options,
        "--password",
        "pw",
        "--rate",
        "100",
        "--tls",
        "--set",
        "enquire_link_seconds=5",
    )
    operator = Operator.objects.get(pk__gt=0)
    assert b"pw" not in bytes(operator.secrets)
    assert operator.settings == {
        "host": "127.0.0.1",
        "port": 2775,
        "system_id": "me",
        "tls": True,
        "enquire_link_seconds": 5,
    }
    assert operators.settings_of(operator).secrets == {"password": "pw"}


def test_changes_an_operator_only_when_told_to():
    options = [
        "--transport",
        "smpp",
        "--host",
        "a.example",
        "--port",
        "2775",
        "--system-id",
        "me",
        "--password",
        "pw",
    ]
    run("add_operator", "one", *options)
    before = Operator.objects.get(pk__gt=0)
    with pytest.raises(CommandError, match="--update"):
        run("add_operator", "one", *options)
    run(
        "add_operator",
        "one",
        "--update",
        "--host",
        "b.example",
        "--rate",
        "7",
        "--inactive",
        "--set",
        "window=20",
    )
    run("add_operator", "one", "--update", "--set", "window=null")
    after = Operator.objects.get(pk__gt=0)
    assert after.settings == {"host": "b.example", "port": 2775, "system_id": "me"}
    assert (after.rate, after.active) == (7.0, False)
    assert operators.settings_of(after).secrets == {"password": "pw"}
    assert after.updated_at > before.updated_at


def test_adds_a_route():
    run("create_tenant", "Acme")
    run("add_operator", "sim", "--transport", "simulator")
    made = run(
        "add_route",
        "--operator",
        "sim",
        "--tenant",
        "acme",
        "--prefix",
        "+33",
        "--priority",
        "5",
        "--weight",
        "3",
    )
    route = Route.objects.get()
    assert made["id"] == route.pk
    assert (route.prefix, route.priority, route.weight, route.channel) == ("33", 5, 3, "sms")
    assert route.tenant_id == Tenant.objects.get().pk
    with pytest.raises(CommandError, match="already"):
        run("add_route", "--operator", "sim", "--tenant", "acme", "--prefix", "33")


def test_prints_every_move_of_the_table():
    out = io.StringIO()
    call_command("print_statuses", stdout=out)
    arrows = [line for line in out.getvalue().splitlines() if " --> " in line and "[*]" not in line]
    assert len(arrows) == sum(len(targets) for targets in statuses.MOVES.values())
    assert "    sending --> sent" in arrows
    assert run("print_statuses")["moves"]["delivered"] == ["read"]
