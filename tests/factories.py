"""Rows that tests begin with, made the way the product makes them."""

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from gateway import keys, tenants
from gateway.models import Tenant


def make_tenant(slug: str = "acme", **fields: Any) -> Tenant:
    tenant, _secret = tenants.create(name=slug, slug=slug)
    for name, value in fields.items():
        setattr(tenant, name, value)
    tenant.save()
    return tenant


class Caller:
    """A tenant's client with a key: ``caller.post("/v1/messages", {...})``."""

    def __init__(self, tenant: Tenant, *, name: str = "test", **key: Any) -> None:
        self.tenant = tenant
        self.api_key, self.api_secret = keys.issue(tenant=tenant, name=name, **key)
        self.client = Client()

    def get(self, path: str, **headers: str) -> "Answer":
        return self.send("GET", path, b"", **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> "Answer":
        return self.send("POST", path, json.dumps(body).encode(), **headers)

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        content_type: str = "application/json",
        **headers: str,
    ) -> "Answer":
        given = {"authorization": f"Bearer {self.api_key}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        response = self.client.generic(method, path, body, content_type=content_type, headers=given)
        return Answer(response)


class Answer:
    """A response read: ``status``, ``json``, ``headers``."""

    def __init__(self, response: HttpResponse) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.content = response.content
        self.json: Any = json.loads(response.content) if "json" in response["Content-Type"] else None

    @property
    def code(self) -> str:
        return self.json["errorCode"]


def message(**members: Any) -> dict[str, Any]:
    """A message that is accepted."""
    return {"to": "+14155550101", "content": {"text": "Your code is 123456"}} | members
