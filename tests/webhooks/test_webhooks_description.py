"""The document says of webhooks what they answer."""

import pytest

from gateway import keys

pytestmark = pytest.mark.django_db


def test_it_describes_each_call_and_what_it_answers(client, tenant):
    document = client.get("/v1/openapi.json").json()
    assert set(document["paths"]["/v1/webhooks/messages/{id}"]) == {"get", "patch", "delete"}
    schemas = document["components"]["schemas"]
    post = document["paths"]["/v1/webhooks/messages"]["post"]
    example = post["requestBody"]["content"]["application/json"]["example"]
    assert set(example) == set(schemas["NewWebhook"]["required"])
    key, _secret = keys.issue(tenant=tenant, name="k")
    headers = {"Authorization": f"Bearer {key}"}
    made = client.post(
        "/v1/webhooks/messages", data=example, content_type="application/json", headers=headers
    ).json()
    assert (
        set(schemas["CreatedWebhook"]["required"])
        <= set(made)
        <= set(schemas["CreatedWebhook"]["properties"])
    )
    page = client.get("/v1/webhooks/messages", headers=headers).json()
    assert set(page) == set(schemas["WebhookPage"]["properties"])


def test_it_stands_on_the_docs_page(client):
    page = client.get("/v1/docs").content.decode()
    assert "/v1/webhooks/messages/$ID" in page
    assert "https://example.com/hook" in page
