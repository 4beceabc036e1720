"""``/v1/docs`` for people and ``/v1/openapi.json`` for programs, both from :mod:`gateway.api.openapi`."""

import html
import json
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from gateway import errors
from gateway.api import openapi, rendering
from gateway.api.views import PublicView


class OpenApi(PublicView):
    """The document as it is: the request's id is in the header only, a reader would stumble over a member."""

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(rendering.encode(openapi.document()), content_type=rendering.CONTENT_TYPE)


class Docs(PublicView):
    """One page without scripts or anything fetched from elsewhere."""

    def get(self, request: Request) -> HttpResponse:
        base = html.escape(f"{request.scheme}://{request.get_host()}")
        return HttpResponse(_page(base), content_type="text/html; charset=utf-8")


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "pre{background:#f5f6f8;padding:.8rem;overflow-x:auto;border-radius:6px}"
    "code,pre{font:14px ui-monospace,monospace}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;"
    "border-bottom:1px solid #dde1e6}h2{margin-top:2.2rem}.m{font-weight:600;color:#0b57d0}"
)
_SEND: dict[str, Any] = {"to": "+14155550101", "content": {"text": "Hello"}, "clientMessageId": "order-42"}
_BULK: dict[str, Any] = {
    "defaults": {"from": "ACME", "content": {"text": "Hello"}},
    "messages": [{"to": "+14155550101"}, {"to": "+14155550102", "priority": "high"}],
}
_BODIES = {"sendMessage": _SEND, "sendMessages": _BULK}


def _page(base: str) -> str:
    document = openapi.document()
    calls = "".join(
        _call(base, path, method, call)
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    )
    codes = "".join(
        f"<tr><td><code>{entry['errorCode']}</code><td>{entry['status'] or ''}<td>{html.escape(entry['message'])}"
        f"<td>{html.escape(entry['action'])}"
        for entry in errors.catalogue()
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Trunkline API</title><style>{_STYLE}</style>"
        f"<h1>Trunkline API</h1><p>{html.escape(document['info']['description'])}</p>"
        "<p>The same for programs: <a href=/v1/openapi.json>OpenAPI 3.1</a>. A key:"
        "<pre>manage.py create_tenant Acme\n"
        "manage.py issue_key --tenant acme --name first\n"
        "export KEY=tl_live_…</pre>"
        f"{calls}<h2>Error codes</h2><table><tr><th>Code<th>Status<th>Meaning<th>What to do{codes}</table></html>"
    )


def _call(base: str, path: str, method: str, call: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{given['name']}</code><td>{given['in']}<td>{html.escape(given.get('description', ''))}"
        for given in call.get("parameters", ())
    )
    answers = ", ".join(call["responses"])
    return (
        f"<h2><span class=m>{method.upper()}</span> <code>{path}</code></h2><p>{html.escape(call['summary'])}</p>"
        + (f"<table>{parameters}</table>" if parameters else "")
        + f"<pre>{html.escape(_curl(base, path, method, call))}</pre><p>Answers: {answers}</p>"
    )


def _curl(base: str, path: str, method: str, call: dict[str, Any]) -> str:
    url = base + path.replace("{messageId}", "$ID").replace("{id}", "$ID")
    parts = [f"curl '{url}'" if "$" not in url else f'curl "{url}"']
    if method != "get":
        parts.append(f"-X {method.upper()}")
    if call.get("security") != []:
        parts.append('-H "Authorization: Bearer $KEY"')
    content = call.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = _BODIES.get(call.get("operationId", "")) or content.get("example")
    if body is not None:
        parts.append("-H 'Content-Type: application/json'")
        parts.append(f"-d '{json.dumps(body)}'")
    return " \\\n  ".join(parts)
