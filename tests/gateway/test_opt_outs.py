"""Opt-outs, one by one, and what they block."""

import pytest

from gateway import opt_outs
from gateway.models import OptOut

pytestmark = pytest.mark.django_db

PATH = "/v1/opt-outs"
PHONE = "+14155550101"


def add(caller, sender="", phone=PHONE):
    return opt_outs.add(tenant_id=caller.tenant.pk, phone=phone, sender=sender, source="api")


def blocked(caller, *senders):
    return opt_outs.blocked(wanted=[(caller.tenant.pk, PHONE, sender) for sender in senders])


def test_blocks_every_sender_of_the_tenant_and_no_other_tenants(acme, other):
    add(acme)
    assert blocked(acme, "ACME", None) == [True, True]
    assert blocked(other, "ACME", None) == [False, False]


def test_blocks_one_sender_whatever_its_case_and_plus(acme):
    add(acme, "Acme")
    add(acme, "+4242")
    assert blocked(acme, "ACME", "4242", "OTHER", None) == [True, True, False, False]


def test_asks_once_for_many_and_never_for_none(acme, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert blocked(acme, *["ACME"] * 100) == [False] * 100
    with django_assert_num_queries(0):
        assert opt_outs.blocked(wanted=[]) == []


def test_is_added_once(acme, other):
    body = {"to": PHONE, "scope": "sender", "sender": "ACME", "reason": "Asked"}
    first, again = acme.post(PATH, body), acme.post(PATH, body | {"sender": "acme"})
    assert (first.status, again.status) == (201, 200)
    assert first.json["id"] == again.json["id"]
    assert (first.json["scope"], first.json["source"]) == ("sender", "api")
    path = f"{PATH}/{first.json['id']}"
    assert (acme.get(path).status, other.get(path).status) == (200, 404)
    assert other.send("DELETE", path).status == 404
    assert acme.send("DELETE", path).status == 204
    assert acme.get(path).status == 404


def test_is_removed_by_number(acme, other):
    add(acme)
    add(acme, "ACME")
    assert other.send("DELETE", f"{PATH}?phone={PHONE}").status == 404
    assert acme.send("DELETE", f"{PATH}?phone={PHONE}&sender=acme").status == 204
    assert [row.sender for row in OptOut.objects.for_tenant(acme.tenant.pk)] == [""]
    assert acme.send("DELETE", f"{PATH}?phone={PHONE}").status == 204
    assert acme.send("DELETE", f"{PATH}?phone={PHONE}").status == 404
    assert acme.send("DELETE", PATH).status == 400


def test_is_found_by_filters(acme, other):
    add(acme)
    add(acme, "ACME", "+14155550102")
    for query, count in (
        ("", 2),
        (f"phone={PHONE}", 1),
        ("scope=tenant", 1),
        ("scope=sender", 1),
        ("sender=acme", 1),
        ("source=keyword", 0),
        ("createdBefore=2020-01-01T00:00:00Z", 0),
    ):
        assert len(acme.get(f"{PATH}?{query}").json["data"]) == count, query
    assert other.get(PATH).json["data"] == []
    for bad in ("scope=x", "source=x", "sender=%2B", "phone=x", "createdAfter=x", "limit=0", "cursor=x"):
        assert acme.get(f"{PATH}?{bad}").status == 400, bad


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"phone": None}, "phone"),
        ({"scope": "all"}, "scope"),
        ({"scope": "sender"}, "sender"),
        ({"sender": "ACME"}, "sender"),
        ({"scope": "sender", "sender": "x" * 12}, "sender"),
        ({"reason": ""}, "reason"),
        ({"text": "STOP"}, "text"),
    ],
)
def test_names_the_member_that_is_wrong(acme, members, field):
    refused = acme.post(PATH, {"phone": PHONE} | members)
    assert refused.status == 400
    assert [detail["field"] for detail in refused.json["details"]] == [field]
