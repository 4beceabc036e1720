"""Programs for the docs page: a reader copies them, and a test runs each against a live server.

They read where the API is and the key from the environment: ``URL``, ``KEY``, ``ID`` for a path's id, ``SECRET``
for a webhook's. What a call has no program for here gets a line of curl made of its own example.
"""

import json
from typing import Any

from gateway.api.shapes import Json

Programs = dict[str, str]

SEND: Json = {
    "to": "+14155550101",
    "content": {"text": "Your code is 123456"},
    "clientMessageId": "order-42",
}
BULK: Json = {
    "defaults": {"from": "ACME", "content": {"text": "We open at nine"}},
    "messages": [{"to": "+14155550101"}, {"to": "+14155550102", "priority": "high"}],
}
WEBHOOK: Json = {
    "url": "https://example.com/hook",
    "method": "POST",
    "encoding": "JSON",
    "events": ["message.delivered", "message.failed"],
}


def curl(method: str, path: str, *, body: Any = None, public: bool = False, tail: str = "") -> str:
    """A call as a line of curl; a path's parameter is ``$ID``."""
    parts = [f'curl "$URL{path}"']
    if method != ("GET" if body is None else "POST"):
        parts.append(f"-X {method}")
    if not public:
        parts.append('-H "Authorization: Bearer $KEY"')
    if body is not None:
        quoted = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
        parts += ["-H 'Content-Type: application/json'", f"-d '{quoted}'"]
    return " \\\n  ".join([*parts, *([tail] if tail else [])])


def _python(lines: str) -> str:
    return f"""import os

import requests

api = requests.Session()
api.headers["Authorization"] = "Bearer " + os.environ["KEY"]
url = os.environ["URL"]

{lines.strip()}
"""


def _node(lines: str) -> str:
    return f"""const {{ URL: url, KEY: key, ID: id }} = process.env;

async function call(method, path, body) {{
  const answer = await fetch(url + path, {{
    method,
    headers: {{ Authorization: `Bearer ${{key}}`, "Content-Type": "application/json" }},
    body: body && JSON.stringify(body),
  }});
  const data = await answer.json();
  if (!answer.ok) throw new Error(`${{data.errorCode}}: ${{data.message}} (${{data.requestId}})`);
  return data;
}}

{lines.strip()}
"""


def _written(body: Json) -> str:
    """The body as Python and JavaScript both write it."""
    return json.dumps(body, indent=4)


PROGRAMS: dict[str, Programs] = {
    "sendMessage": {
        "curl": curl("POST", "/v1/messages", body=SEND),
        "Python": _python(
            f"""
# Safe to repeat after a timeout: under the same clientMessageId it is one message.
answer = api.post(url + "/v1/messages", json={_written(SEND)}, timeout=10)
answer.raise_for_status()
message = answer.json()
print(message["id"], message["status"])
"""
        ),
        "Node": _node(
            f"""
// Safe to repeat after a timeout: under the same clientMessageId it is one message.
const message = await call("POST", "/v1/messages", {_written(SEND)});
console.log(message.id, message.status);
"""
        ),
    },
    "sendMessages": {
        "curl": curl("POST", "/v1/messages/bulk", body=BULK),
        "Python": _python(
            f"""
answer = api.post(url + "/v1/messages/bulk", json={_written(BULK)}, timeout=30)
answer.raise_for_status()
for result in answer.json()["results"]:
    if "error" in result:
        print(result["index"], result["error"]["errorCode"], result["error"]["message"])
    else:
        print(result["index"], result["id"], result["status"])
"""
        ),
        "Node": _node(
            f"""
const batch = await call("POST", "/v1/messages/bulk", {_written(BULK)});
for (const {{ index, id, status, error }} of batch.results) {{
  console.log(index, error ? error.errorCode : id, error ? error.message : status);
}}
"""
        ),
    },
    "listMessages": {
        "curl": curl(
            "GET",
            "/v1/messages",
            tail="-G --data-urlencode 'to=+14155550101' -d limit=100",
        ),
        "Python": _python(
            """
query = {"to": "+14155550101", "limit": 100}
while True:
    answer = api.get(url + "/v1/messages", params=query, timeout=10)
    answer.raise_for_status()
    page = answer.json()
    for message in page["data"]:
        print(message["id"], message["status"])
    if page["nextCursor"] is None:
        break
    query["cursor"] = page["nextCursor"]
"""
        ),
        "Node": _node(
            """
const query = new URLSearchParams({ to: "+14155550101", limit: 100 });
for (;;) {
  const page = await call("GET", `/v1/messages?${query}`);
  for (const message of page.data) console.log(message.id, message.status);
  if (page.nextCursor === null) break;
  query.set("cursor", page.nextCursor);
}
"""
        ),
    },
    "getMessage": {
        "curl": curl("GET", "/v1/messages/$ID"),
        "Python": _python(
            """
answer = api.get(url + "/v1/messages/" + os.environ["ID"], timeout=10)
answer.raise_for_status()
message = answer.json()
print(message["status"], message["errorCode"], message["timestamps"])
"""
        ),
        "Node": _node(
            """
const message = await call("GET", `/v1/messages/${id}`);
console.log(message.status, message.errorCode, message.timestamps);
"""
        ),
    },
    "createWebhook": {
        "curl": curl("POST", "/v1/webhooks/messages", body=WEBHOOK),
        "Python": _python(
            f"""
answer = api.post(url + "/v1/webhooks/messages", json={_written(WEBHOOK)}, timeout=10)
answer.raise_for_status()
print(answer.json()["id"], answer.json()["secret"])  # the secret is shown this once
"""
        ),
        "Node": _node(
            f"""
const webhook = await call("POST", "/v1/webhooks/messages", {_written(WEBHOOK)});
console.log(webhook.id, webhook.secret); // the secret is shown this once
"""
        ),
    },
}

# A receiver that believes a callback only when its signature is right. Prints the type of each.
RECEIVERS: Programs = {
    "Python": '''import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))


def is_ours(headers, body):
    """Whether the platform signed it, within the last five minutes."""
    identifier = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > 300:
        return False
    signed = f"{identifier}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    # There are several while a secret is being rotated.
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given)


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not is_ours(self.headers, body):
            self.send_response(401)
        else:
            # Repeats have the same webhook-id: keep those that were dealt with.
            print(json.loads(body)["type"], flush=True)
            self.send_response(204)
        self.end_headers()


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hook).serve_forever()
''',
    "Node": """import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.env.SECRET.replace(/^whsec_/, ""), "base64");

// Whether the platform signed it, within the last five minutes.
function isOurs(headers, body) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp || NaN)) <= 300)) return false;
  const hmac = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body);
  const expected = Buffer.from(`v1,${hmac.digest("base64")}`);
  // There are several while a secret is being rotated.
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const given = Buffer.from(one);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!isOurs(request.headers, body)) {
    response.writeHead(401).end();
    return;
  }
  // Repeats have the same webhook-id: keep those that were dealt with.
  console.log(JSON.parse(body).type);
  response.writeHead(204).end();
}).listen(Number(process.env.PORT), "127.0.0.1");
""",
}
