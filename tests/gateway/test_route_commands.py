"""``add_route`` and ``import_networks``: what they take, and what they refuse in one line."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from routing import networks, provisioning
from routing.models import NetworkRange, Operator, Route

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def operator():
    return Operator.objects.create(slug="one", transport="simulator")


def run(*arguments):
    output = io.StringIO()
    call_command(*arguments, "--json", stdout=output)
    return json.loads(output.getvalue())


def test_it_adds_a_route_with_all_that_it_can_match():
    window = {"days": [1, 2], "from": "08:00", "to": "20:00", "zone": "Europe/Paris"}
    shown = run(
        *("add_route", "--operator", "one", "--prefix", "+336", "--country", "fr", "--network", "20801"),
        *("--tag", "otp", "--cost", "0.0045", "--window", json.dumps(window), "--priority", "5"),
    )
    assert shown.pop("id") == Route.objects.get().pk
    assert shown == {
        "operator": "one",
        "tenant": None,
        "channel": "sms",
        "prefix": "336",
        "country": "FR",
        "network": "20801",
        "sender": "",
        "tag": "otp",
        "cost": 0.0045,
        "windows": [window],
        "priority": 5,
        "weight": 1,
    }


def test_routes_of_one_operator_differ_in_what_they_match():
    run("add_route", "--operator", "one", "--tag", "otp")
    run("add_route", "--operator", "one", "--tag", "other")
    with pytest.raises(CommandError, match="there already"):
        run("add_route", "--operator", "one", "--tag", "otp", "--priority", "3")
    assert Route.objects.count() == 2


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--country", "FRA", "country"),
        ("--country", "ZZ", "country"),
        ("--network", "20", "network"),
        ("--network", "2080", "network"),
        ("--tag", "x" * 101, "tag"),
        ("--cost", "-1", "cost"),
        ("--cost", "NaN", "cost"),
        ("--cost", "cheap", "--cost"),
        ("--window", "{", "--window"),
        ("--window", '{"from": "8"}', r"windows\[0\].from"),
        ("--window", "[1]", r"windows\[0\]"),
    ],
)
def test_it_names_what_is_wrong(option, value, named):
    with pytest.raises(CommandError, match=named):
        run("add_route", "--operator", "one", option, value)
    assert not Route.objects.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("breaker", 1), ("no_receipts_minutes", 1), ("slow_seconds", "10"), ("slow_seconds", 0)],
)
def test_an_operators_settings_for_routing_are_checked(name, value):
    wish = provisioning.OperatorWish(slug="two", transport="simulator", settings={name: value})
    with pytest.raises(provisioning.ProvisioningError, match=name):
        provisioning.add_operator(wish=wish)


def test_the_transport_does_not_see_the_settings_for_routing():
    given = {"breaker": False, "no_receipts_minutes": None, "slow_seconds": 30}
    account = {"host": "127.0.0.1", "port": 2775, "system_id": "esme"}
    wish = provisioning.OperatorWish(slug="two", transport="smpp", settings={**account, **given})
    made = provisioning.add_operator(wish=wish)
    assert {name: made.settings[name] for name in ("breaker", "slow_seconds")} == {
        "breaker": False,
        "slow_seconds": 30,
    }


def test_it_replaces_the_networks_ranges(tmp_path):
    NetworkRange.objects.create(prefix="1", mcc="310", mnc="004")
    file = tmp_path / "networks.csv"
    file.write_text("mcc,mnc,prefix,name\n208,01,+33607,One\n208,20,336071,Two\n")
    assert run("import_networks", str(file)) == {"ranges": 2}
    ranges = networks.read()
    assert [ranges.network(digits) for digits in ("33607999999", "33607199999", "14155550101")] == [
        "20801",
        "20820",
        "",
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prefix,mcc\n1,2\n", "column 'mnc'"),
        ("", "column 'prefix'"),
        ("prefix,mcc,mnc\n33,208,1\n", "line 2: mnc"),
        ("prefix,mcc,mnc\nabc,208,01\n", "line 2: prefix"),
        ("prefix,mcc,mnc\n33,20,01\n", "line 2: mcc"),
        ("prefix,mcc,mnc\n33,208\n", "line 2: mnc"),
        ("prefix,mcc,mnc\n33,208,01\n+33,208,02\n", "line 3: the prefix 33 is there twice"),
    ],
)
def test_a_wrong_file_changes_nothing(tmp_path, text, named):
    NetworkRange.objects.create(prefix="1", mcc="310", mnc="004")
    file = tmp_path / "networks.csv"
    file.write_text(text)
    with pytest.raises(CommandError, match=named):
        run("import_networks", str(file))
    assert NetworkRange.objects.count() == 1


def test_a_missing_file_is_said_to_be():
    with pytest.raises(CommandError, match="cannot be read"):
        run("import_networks", "/nowhere.csv")
