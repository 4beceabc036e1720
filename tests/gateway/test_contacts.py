"""Contacts, one by one."""

import pytest

from gateway import opt_outs

pytestmark = pytest.mark.django_db

ANN = {
    "phone": "+14155550101",
    "name": "Ann",
    "email": "ann@example.com",
    "language": "en-GB",
    "tags": ["vip"],
    "customFields": {"plan": "gold"},
}


def test_comes_back_as_it_was_given(acme):
    made = acme.post("/v1/contacts", ANN)
    assert made.status == 201
    assert made.json.items() >= ANN.items()
    read = acme.get(f"/v1/contacts/{made.json['id']}").json
    assert read | {"requestId": ""} == made.json | {"requestId": ""}


def test_is_one_a_phone_and_tenant(acme, other):
    acme.post("/v1/contacts", {"to": "+14155550101"})
    again = acme.post("/v1/contacts", ANN)
    assert (again.status, again.code) == (409, "CONTACT_ALREADY_EXISTS")
    assert other.post("/v1/contacts", ANN).status == 201


def test_is_changed_emptied_and_removed(acme):
    path = f"/v1/contacts/{acme.post('/v1/contacts', ANN).json['id']}"
    changed = acme.send("PATCH", path, b'{"name": null, "tags": null, "language": "fr"}').json
    assert (changed["name"], changed["tags"], changed["language"]) == (None, [], "fr")
    assert changed["email"] == ANN["email"]
    assert acme.send("PATCH", path, b'{"phone": null}').status == 400
    assert acme.send("DELETE", path).status == 204
    assert acme.get(path).status == 404


def test_does_not_take_another_contacts_phone(acme):
    path = f"/v1/contacts/{acme.post('/v1/contacts', ANN).json['id']}"
    acme.post("/v1/contacts", {"phone": "+14155550102"})
    assert acme.send("PATCH", path, b'{"to": "+14155550102"}').status == 409


def test_is_unknown_to_another_tenant(acme, other):
    path = f"/v1/contacts/{acme.post('/v1/contacts', ANN).json['id']}"
    assert {other.send(method, path, b"{}").status for method in ("GET", "PATCH", "DELETE")} == {404}
    assert other.post(f"{path}/tags", {"tags": ["a"]}).status == 404
    assert other.send("DELETE", f"{path}/tags/vip").status == 404
    assert other.get("/v1/contacts").json["data"] == []


def test_gets_and_loses_tags(acme):
    path = f"/v1/contacts/{acme.post('/v1/contacts', ANN).json['id']}/tags"
    assert acme.post(path, {"tags": ["a/b", "vip"]}).json["tags"] == ["vip", "a/b"]
    assert acme.send("DELETE", f"{path}/a%2Fb").json["tags"] == ["vip"]
    assert acme.send("DELETE", f"{path}/none/").status == 200
    assert acme.post(path, {"tags": [str(number) for number in range(50)]}).status == 400


def test_says_whether_its_number_opted_out(acme):
    made = acme.post("/v1/contacts", ANN).json
    opt_outs.add(tenant_id=acme.tenant.pk, phone=ANN["phone"], sender="ACME", source="api")
    assert acme.get(f"/v1/contacts/{made['id']}").json["optedOut"] is False
    opt_outs.add(tenant_id=acme.tenant.pk, phone=ANN["phone"], sender="", source="api")
    assert acme.get(f"/v1/contacts/{made['id']}").json["optedOut"] is True


def test_is_found_by_filters_page_by_page(acme):
    acme.post("/v1/contacts", ANN)
    acme.post("/v1/contacts", {"phone": "+14155550102"})
    first = acme.get("/v1/contacts?limit=1").json
    assert [row["phone"] for row in first["data"]] == ["+14155550102"]
    second = acme.get(f"/v1/contacts?limit=1&cursor={first['nextCursor']}").json
    assert ([row["phone"] for row in second["data"]], second["nextCursor"]) == ([ANN["phone"]], None)
    for query, count in (
        ("tag=vip", 1),
        ("phone=+14155550101", 1),
        ("phone=%2B14155550103", 0),
        ("createdBefore=2020-01-01T00:00:00Z", 0),
        ("createdAfter=2020-01-01T00:00:00Z", 2),
    ):
        assert len(acme.get(f"/v1/contacts?{query}").json["data"]) == count, query


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"phone": None}, "phone"),
        ({"phone": 14155550101}, "phone"),
        ({"phone": "12"}, "phone"),
        ({"to": "+14155550101"}, "to"),
        ({"name": "x" * 256}, "name"),
        ({"email": "ann"}, "email"),
        ({"language": "english!"}, "language"),
        ({"tags": ["x" * 65]}, "tags[0]"),
        ({"customFields": {"a": 1}}, "customFields.a"),
        ({"nope": 1}, "nope"),
    ],
)
def test_names_the_member_that_is_wrong(acme, members, field):
    refused = acme.post("/v1/contacts", ANN | members)
    assert refused.status == 400
    assert [detail["field"] for detail in refused.json["details"]] == [field]
