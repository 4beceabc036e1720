"""Contacts by the thousand, from JSON and CSV."""

import pytest

pytestmark = pytest.mark.django_db

PATH = "/v1/contacts/import"


def csv(caller, text, content_type="text/csv", **headers):
    body = text if isinstance(text, bytes) else text.encode()
    return caller.send("POST", PATH, body, content_type=content_type, **headers)


def phones(caller):
    return {row["phone"]: row for row in caller.get("/v1/contacts").json["data"]}


def test_creates_updates_and_refuses_row_by_row(acme, other):
    acme.post("/v1/contacts", {"phone": "+14155550101", "name": "Ann", "tags": ["old"]})
    rows = [{"phone": "+14155550101", "tags": ["new"]}, {"phone": "x"}, {"to": "+14155550102"}, 7]
    done = acme.post(PATH, {"contacts": rows, "tags": ["spring"]}).json
    assert (done["imported"], done["created"], done["updated"], done["rejected"]) == (2, 1, 1, 2)
    assert [result.get("status") for result in done["results"]] == ["updated", None, "created", None]
    ann = phones(acme)["+14155550101"]
    assert (ann["name"], ann["tags"]) == ("Ann", ["old", "new", "spring"])
    assert phones(other) == {}


def test_lets_the_last_row_of_a_phone_count(acme):
    rows = [{"phone": "+14155550101", "name": "A"}, {"phone": "+14155550101", "name": "B"}]
    done = acme.post(PATH, {"contacts": rows}).json
    assert [result["status"] for result in done["results"]] == ["duplicate", "created"]
    assert (done["imported"], done["duplicates"]) == (1, 1)
    assert phones(acme)["+14155550101"]["name"] == "B"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_reads_csv_with_either_delimiter(acme, mark):
    text = f'{mark}phone,name,tags,customFields.plan\r\n+14155550101,"Ann, ""A""",a; b,gold\r\n\r\n'
    assert csv(acme, text).json["created"] == 1
    ann = phones(acme)["+14155550101"]
    assert (ann["name"], ann["tags"], ann["customFields"]) == ('Ann, "A"', ["a", "b"], {"plan": "gold"})
    assert csv(acme, "phone;name\n+14155550101;Zoë\n").json["updated"] == 1
    assert phones(acme)["+14155550101"]["name"] == "Zoë"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "MALFORMED_BODY"),
        ("name\nAnn\n", "VALIDATION_FAILED"),
        ("phone,phone\n1,2\n", "VALIDATION_FAILED"),
        ("phone,nope\n1,2\n", "VALIDATION_FAILED"),
        ("phone\n", "VALIDATION_FAILED"),
        ("phone\n1,2\n", "MALFORMED_BODY"),
        ('phone\n"1', "MALFORMED_BODY"),
        ("phone\n\0\n", "MALFORMED_BODY"),
        (b"phone\n\xff\n", "MALFORMED_BODY"),
        ("phone\nx\n", "ALL_ROWS_INVALID"),
        ("phone\n" + "x\n" * 10_001, "BATCH_TOO_LARGE"),
    ],
)
def test_refuses_csv_that_it_cannot_use(acme, text, code):
    refused = csv(acme, text)
    assert (refused.status, refused.code) == (400, code)


def test_takes_only_json_and_csv(acme):
    assert csv(acme, "phone\n", "application/xml").status == 415
    assert csv(acme, "phone\n", "text/csv; charset=latin-1").status == 415
    assert csv(acme, "x" * (2 * 1024 * 1024 + 1)).status == 413


def test_refuses_too_many_rows_and_does_nothing(acme):
    refused = acme.post(PATH, {"contacts": [{"phone": "+14155550101"}] * 10_001})
    assert (refused.status, refused.code) == (400, "BATCH_TOO_LARGE")
    assert phones(acme) == {}


def test_refuses_a_row_that_would_leave_too_many_tags(acme):
    acme.post("/v1/contacts", {"phone": "+14155550101", "tags": [str(number) for number in range(50)]})
    refused = acme.post(PATH, {"contacts": [{"phone": "+14155550101", "tags": ["more"]}]})
    assert (refused.status, refused.code) == (400, "ALL_ROWS_INVALID")
    assert refused.json["results"][0]["error"]["details"][0]["code"] == "TOO_MANY"
