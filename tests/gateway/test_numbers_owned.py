"""Whose a number is that a handset wrote to."""

from datetime import UTC, datetime

import pytest

from gateway import numbers_owned
from gateway.models import Message, Number
from gateway.numbers_owned import NumberError
from tests.gateway.test_inbound import HANDSET, arrival

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _forgotten():
    numbers_owned.forget()


def give(caller, number="4242", **fields) -> Number:
    numbers_owned.forget()
    return numbers_owned.give(number=number, tenant=caller.tenant, **fields)


def owner(text="Hello", **fields) -> int | None:
    return numbers_owned.owners(arrivals=[arrival(text, **{"recipient": "4242"} | fields)])[0]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("+1 (415) 555-0100", "14155550100"),
        ("4242", "4242"),
        ("ACME", "acme"),
        (" My Shop ", "my shop"),
        ("+4242", "4242"),
    ],
)
def test_it_keeps_one_form_of_a_number(acme, given, kept):
    assert give(acme, given).number == kept


@pytest.mark.parametrize("recipient", ["14155550100", "+14155550100"])
def test_it_finds_a_number_with_its_plus_or_without(acme, recipient):
    give(acme, "+14155550100")
    assert owner(recipient=recipient) == acme.tenant.pk


def test_it_finds_a_name_in_any_case(acme):
    give(acme, "Acme")
    assert owner(recipient="ACME") == acme.tenant.pk


def test_it_finds_nobody_for_a_number_that_is_nobodys(acme):
    give(acme)
    assert owner(recipient="4243") is None
    assert owner(recipient="") is None
    assert owner(channel="whatsapp") is None


def test_it_tells_channels_and_operators_apart(acme, other):
    give(acme, channel="whatsapp")
    give(other, operator="two")
    assert owner(channel="whatsapp") == acme.tenant.pk
    assert owner(operator="two") == other.tenant.pk
    assert owner(operator="one") is None
    give(acme)
    assert [owner(operator="two"), owner(operator="one")] == [other.tenant.pk, acme.tenant.pk]


def test_it_shares_a_number_by_keyword(acme, other):
    give(acme, keyword="Join")
    give(other, keyword="join now")
    assert owner("join!") == acme.tenant.pk
    assert owner("JOIN the club") == acme.tenant.pk
    assert owner("Join  now.") == other.tenant.pk
    assert owner("hello") is None
    give(other)
    assert owner("hello") == owner("") == other.tenant.pk
    assert owner("join") == acme.tenant.pk


def test_it_finds_who_wrote_last_on_a_shared_number(acme, other):
    give(acme, keyword="join")
    give(other)

    def wrote(tenant, **fields):
        given = {"tenant_id": tenant.pk, "channel": "sms", "recipient": HANDSET, "sender": "4242", "parts": 1}
        at = datetime.now(tz=UTC)
        Message.objects.create(**given | {"status": "sent", "created_at": at} | fields)

    wrote(other.tenant)
    wrote(acme.tenant)
    wrote(other.tenant, status="rejected")
    wrote(other.tenant, sender="4243")
    wrote(other.tenant, recipient="+14155550102")
    assert owner("STOP") == acme.tenant.pk
    assert owner("STOP", sender=HANDSET[1:]) == acme.tenant.pk
    assert owner("STOP", sender="+14155550102") == other.tenant.pk
    wrote(other.tenant)
    assert owner("yes please") == other.tenant.pk


def test_it_looks_numbers_up_in_one_query_and_again_after_a_while(
    acme, django_assert_num_queries, monkeypatch
):
    give(acme)
    arrivals = [arrival(recipient=number) for number in ("4242", "4243", "4242", "4244")]
    with django_assert_num_queries(1):
        found = numbers_owned.owners(arrivals=arrivals)
        assert (
            numbers_owned.owners(arrivals=arrivals) == found == [acme.tenant.pk, None, acme.tenant.pk, None]
        )
    monkeypatch.setattr(numbers_owned._cache, "stale_at", 0.0)
    Number.objects.all().delete()
    with django_assert_num_queries(1):
        assert numbers_owned.owners(arrivals=arrivals) == [None] * 4


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"number": ""}, "number"),
        ({"number": "+"}, "number"),
        ({"number": "x" * 33}, "number"),
        ({"number": "a\0b"}, "number"),
        ({"channel": "fax"}, "channel"),
        ({"keyword": "x" * 41}, "keyword"),
        ({"keyword": "Stop"}, "keyword"),
        ({"keyword": "arrêt"}, "keyword"),
    ],
)
def test_it_gives_nothing_that_makes_no_sense(acme, fields, names):
    with pytest.raises(NumberError, match=names):
        give(acme, **fields)
    assert not Number.objects.exists()


def test_it_gives_no_number_twice(acme, other):
    give(acme)
    for caller in (acme, other):
        with pytest.raises(NumberError, match=r"number 4242 .* 'acme'"):
            give(caller, "+4242")


def test_it_takes_away_only_what_is_there(acme, other):
    give(acme, keyword="join")
    for caller, fields in ((other, {"keyword": "join"}), (acme, {}), (acme, {"keyword": "x"})):
        with pytest.raises(NumberError, match="does not have the number 4242"):
            numbers_owned.take(number="4242", tenant=caller.tenant, **fields)
    assert numbers_owned.take(number="+4242", tenant=acme.tenant, keyword="Join").keyword == "JOIN"
    assert not Number.objects.exists()
