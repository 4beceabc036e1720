"""Calling the API of webhooks with a tenant's key."""

import json

from gateway import keys

BASE = "/v1/webhooks/messages"
DELIVERIES = "/v1/webhooks/deliveries"
REPLAYS = "/v1/webhooks/replays"
BODY = {
    "url": "http://webhook.com/asdasd",
    "method": "POST",
    "encoding": "JSON",
    "headers": {"x-your-webhook-custom-header": "custom-value"},
    "events": ["RECEIVED_SMS", "message.delivered"],
}


class Caller:
    """``call("patch", f"/{id}", {…})`` gives the status and the answer, below ``base``."""

    def __init__(self, client, tenant, permissions=("webhooks:manage",)):
        self._client = client
        self._key, _secret = keys.issue(tenant=tenant, name="k", permissions=permissions)

    def __call__(self, method, where="", body=None, *, base=BASE, **more):
        data = b"" if body is None else body if isinstance(body, str) else json.dumps(body)
        if method != "get":
            more = {"data": data, "content_type": "application/json"} | more
        headers = {"Authorization": f"Bearer {self._key}"}
        response = getattr(self._client, method)(base + where, headers=headers, **more)
        return response.status_code, (response.json() if response.content else None)
