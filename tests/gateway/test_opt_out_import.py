"""Opt-outs by the thousand: in, and out again."""

import csv
import io

import pytest

from gateway import opt_outs

pytestmark = pytest.mark.django_db

PATH = "/v1/opt-outs"


def exported(caller):
    response = caller.client.get(f"{PATH}/export", headers={"authorization": f"Bearer {caller.api_key}"})
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))


def test_adds_what_is_new_and_leaves_what_is_there(acme, other):
    acme.post(PATH, {"phone": "+14155550101"})
    rows = [
        {"phone": "+14155550101", "reason": "again"},
        {"to": "+14155550102", "scope": "sender", "sender": "ACME"},
        {"phone": "+14155550102", "scope": "sender", "sender": "acme"},
        {"phone": "x"},
    ]
    done = acme.post(f"{PATH}/import", {"optOuts": rows}).json
    assert [row.get("status") for row in done["results"]] == ["unchanged", "created", "unchanged", None]
    assert (done["imported"], done["created"], done["unchanged"], done["rejected"]) == (3, 1, 2, 1)
    assert done["results"][1]["id"] == done["results"][2]["id"]
    assert exported(other) == []


def test_reads_csv(acme):
    body = b"phone;scope;sender\n+14155550101;;\n+14155550102;sender;ACME\n"
    done = acme.send("POST", f"{PATH}/import", body, content_type="text/csv; charset=utf-8")
    assert done.json["created"] == 2


def test_refuses_rows_of_which_none_is_valid(acme):
    refused = acme.post(f"{PATH}/import", {"optOuts": [{"phone": "x"}]})
    assert (refused.status, refused.code) == (400, "ALL_ROWS_INVALID")
    assert acme.post(f"{PATH}/import", {"optOuts": []}).status == 400


def test_exports_all_of_them_safely(acme, monkeypatch):
    monkeypatch.setattr(opt_outs, "EXPORT_CHUNK", 2)
    for last in range(1, 6):
        acme.post(PATH, {"phone": f"+1415555010{last}", "reason": "=1+1"})
    rows = exported(acme)
    assert [row["phone"] for row in rows] == [f"+1415555010{last}" for last in range(1, 6)]
    assert rows[0]["reason"] == "'=1+1"
    assert rows[0]["createdAt"].endswith("Z")


def test_reads_an_export_back(acme, other):
    acme.post(PATH, {"phone": "+14155550101", "reason": "asked"})
    acme.post(PATH, {"phone": "+14155550102", "scope": "sender", "sender": "ACME"})
    headers = {"authorization": f"Bearer {acme.api_key}"}
    body = b"".join(acme.client.get(f"{PATH}/export", headers=headers).streaming_content)
    done = other.send("POST", f"{PATH}/import", body, content_type="text/csv")
    assert (done.status, done.json["created"]) == (200, 2)
    told = [[(row["phone"], row["sender"], row["reason"]) for row in exported(one)] for one in (acme, other)]
    assert told[0] == told[1]
    assert {row["source"] for row in exported(other)} == {"import"}
