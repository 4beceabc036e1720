"""One header moves a request into the tenant's sandbox, and nothing crosses over."""

import pytest

from gateway import keys
from gateway.models import Message
from gateway.models.tenant import sandbox_of
from tests.factories import message


@pytest.mark.parametrize("mode", ["true", "True", "TRUE", " true "])
def test_is_what_the_header_asks_for(acme, mode):
    sent = acme.post("/v1/messages", message(), x_developer_mode=mode)
    assert sent.status == 200
    assert [row.tenant_id for row in Message.objects.for_tenant(sandbox_of(acme.tenant.pk))] == [
        -acme.tenant.pk
    ]
    assert not Message.objects.for_tenant(acme.tenant.pk).exists()


@pytest.mark.parametrize("headers", [{}, {"x_developer_mode": "false"}, {"x_developer_mode": "False"}])
def test_is_not_what_is_not_asked_for(acme, headers):
    assert acme.post("/v1/messages", message(), **headers).status == 200
    assert Message.objects.for_tenant(acme.tenant.pk).count() == 1


@pytest.mark.parametrize("mode", ["", "1", "yes", "true,true", "tru\xe9", "x" * 10_000])
def test_is_refused_when_it_is_neither(acme, mode):
    refused = acme.post("/v1/messages", message(), x_developer_mode=mode)
    assert (refused.status, refused.code) == (400, "VALIDATION_FAILED")
    assert [detail["field"] for detail in refused.json["details"]] == ["x-developer-mode"]
    assert "x-developer-mode" in refused.json["message"]
    assert not Message.objects.exists()


def test_is_not_looked_at_before_the_key(acme):
    assert acme.post("/v1/messages", message(), authorization="", x_developer_mode="x").status == 401


def test_does_not_matter_to_public_pages(acme):
    assert acme.get("/v1/error-codes", authorization="", x_developer_mode="x").status == 200
    assert acme.get("/v1/nowhere", x_developer_mode="x").status == 404


def test_shows_nothing_across(acme, other):
    live = acme.post("/v1/messages", message()).json["id"]
    fake = acme.post("/v1/messages", message(), x_developer_mode="true").json["id"]
    assert [row["id"] for row in acme.get("/v1/messages").json["data"]] == [live]
    assert [row["id"] for row in acme.get("/v1/messages", x_developer_mode="true").json["data"]] == [fake]
    assert acme.get(f"/v1/messages/{fake}").status == 404
    assert acme.get(f"/v1/messages/{live}", x_developer_mode="true").status == 404
    assert other.get(f"/v1/messages/{fake}", x_developer_mode="true").status == 404


def test_costs_no_query(acme, django_assert_num_queries):
    acme.get("/v1/messages/x")
    with django_assert_num_queries(0):
        assert acme.get("/v1/messages/x", x_developer_mode="true").status == 404


def test_is_the_same_key_in_the_sandbox(acme):
    found = keys.find(acme.api_key)
    assert found.sandbox.tenant_id == -found.tenant_id
    assert (found.sandbox.key_id, found.sandbox.permissions) == (found.key_id, found.permissions)
    assert found.sandbox.sandbox is None


def test_ends_with_the_tenant(acme):
    acme.tenant.active = False
    acme.tenant.save()
    keys.forget()
    assert acme.get("/v1/messages", x_developer_mode="true").status == 401
