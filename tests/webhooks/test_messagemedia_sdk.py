"""MessageMedia's own SDK, unmodified but for its base URL, against a real server; and what the others send."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import venv
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from gateway import keys
from webhooks.models import Webhook

pytestmark = pytest.mark.django_db(transaction=True)

PACKAGE = "messagemedia-webhooks-sdk==1.0.0"
CALLS = Path(__file__).with_name("messagemedia_sdk_calls.py")
OFFLINE = re.compile(r"ConnectionError|ConnectTimeout|name resolution|Network is unreachable|timed out")
SEED = (
    r'{"url":"http:\/\/webhook.com\/asdasd","method":"POST","encoding":"JSON","headers":[],'
    r'"events":["RECEIVED_SMS"],"template":"{\"id\":\"$mtId\",\"status\":\"$statusCode\"}"}'
)


@pytest.fixture(scope="session")
def sdk() -> Path:
    """An interpreter that has the SDK, in an environment of its own: its pins are not ours."""
    version = "{}.{}".format(*sys.version_info)
    folder = settings.STATIC_ROOT.parent / "tmp" / f"messagemedia-sdk-{version}"
    python, done = folder / "bin" / "python", folder / "done"
    if done.exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "10", PACKAGE]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    made = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=environment)
    if made.returncode and OFFLINE.search(made.stderr):
        pytest.skip("The package index cannot be reached.")
    assert made.returncode == 0, made.stderr
    done.touch()
    return python


@pytest.fixture(autouse=True)
def _closing(monkeypatch):
    """A refusal may close its connection: servers take that header from an application, the tests' one does not."""
    monkeypatch.setattr("wsgiref.handlers.is_hop_by_hop", lambda _name: False)


@pytest.fixture
def credential(tenant) -> tuple[str, str]:
    return keys.issue(tenant=tenant, name="sdk", permissions=("webhooks:manage",))


@pytest.fixture
def said(sdk, live_server, credential):
    """What the SDK gave for each of its calls."""
    command = [str(sdk), str(CALLS), live_server.url, *credential]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_the_python_sdk_works_against_it(said):
    created, template = said["created"], '{"id":"$mtId","status":"$statusCode"}'
    assert (created["url"], created["method"], created["encoding"]) == ("http://webhook.com", "POST", "JSON")
    assert (created["events"], created["template"]) == (["RECEIVED_SMS"], template)
    assert created["headers"] == {"Account": "DeveloperPortal7000"}
    assert said["without headers"]["headers"] == {}
    assert (said["plain"]["retries"], said["plain"]["method"]) == (2, "GET")
    made = [said[name]["id"] for name in ("created", "without headers", "plain")]
    for name in ("all", "zero"):
        page = said[name]
        assert (page["page"], page["pageSize"], [row["id"] for row in page["pageData"]]) == (0, 100, made)
    assert [row["id"] for row in said["second"]["pageData"]] == made[2:]
    assert said["past"]["pageData"] == []
    # What the model leaves unset goes out as null, and stays.
    unchanged = ("url", "method", "encoding", "headers", "events")
    assert {name: said["updated"][name] for name in unchanged} == {name: created[name] for name in unchanged}
    assert said["updated"]["template"] == "$drId"
    assert said["updated by text"]["encoding"] == "FORM_ENCODED"
    assert said["updated by text"]["events"] == ["ENROUTE_DR"]
    assert said["deleted"] is None
    assert [row["id"] for row in said["left"]["pageData"]] == made[1:]
    _check_refusals(said["refusals"])


def _check_refusals(refusals):
    create, update = "CreateWebhook400ResponseException", "UpdateWebhook400ResponseException"
    assert refusals["same"] == [create, 409, "A webhook with the given url and method already exists."]
    for name in ("empty", "no URL", "type"):
        assert refusals[name][:2] == [create, 400]
        assert refusals[name][2]
    for name in ("nothing", "no events"):
        assert refusals[name][:2] == [update, 400]
        assert refusals[name][2]
    assert refusals["page"][:2] == ["RetrieveWebhook400ResponseException", 400]
    for name in ("update nobody's", "delete nobody's", "delete no id"):
        assert refusals[name][:2] == ["APIException", 404]
    assert refusals["stranger"][:2] == ["APIException", 401]


# The others, by the bytes that they send


@pytest.fixture
def wire(live_server, credential):
    """Send bytes as they are, the credential added; the status and the body as it came."""
    at = urlsplit(live_server.url)
    basic = base64.b64encode(":".join(credential).encode()).decode()

    def send(request_line, *headers, body=""):
        lines = [f"{request_line} HTTP/1.1", f"Host: {at.netloc}", f"Authorization: Basic {basic}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body.encode())}")
        head = "\r\n".join([*lines, "Connection: close", "", ""])
        with socket.create_connection((at.hostname, at.port), timeout=10) as connection:
            connection.sendall((head + body).encode())
            got = b"".join(iter(lambda: connection.recv(65536), b""))
        top, _, rest = got.partition(b"\r\n\r\n")
        return int(top.split()[1]), rest

    return send


JSON = "content-type: application/json; charset=utf-8"
UNIREST = (
    "accept: application/json",
    "Accept-Encoding: deflate, gzip, br, zstd",
    "user-agent: unirest-php/2.0",
)


def test_it_understands_the_php_sdk(wire):
    code, body = wire("POST /v1/webhooks/messages", JSON, *UNIREST, body=SEED)
    made = json.loads(body)
    assert (code, made["url"], made["headers"]) == (201, "http://webhook.com/asdasd", {})
    assert b'"headers":{}' in body
    code, body = wire("GET /v1/webhooks/messages/?", *UNIREST)
    assert (code, [row["id"] for row in json.loads(body)["pageData"]]) == (200, [made["id"]])
    nulls = json.dumps(dict.fromkeys(("url", "method", "encoding", "events")) | {"template": "$drId"})
    code, body = wire(f"PATCH /v1/webhooks/messages/{made['id']}", JSON, *UNIREST, body=nulls)
    assert (code, json.loads(body)["template"], json.loads(body)["url"]) == (200, "$drId", made["url"])
    form = ("Content-Type: application/x-www-form-urlencoded", "Content-Length: 0")
    assert wire(f"DELETE /v1/webhooks/messages/{made['id']}", *UNIREST, *form) == (204, b"")
    assert not Webhook.objects.exists()


def test_every_refusal_is_a_json_object_with_a_message(wire):
    requests = [
        ("POST /v1/webhooks/messages", "{}", 400),
        ("POST /v1/webhooks/messages", "{", 400),
        ("POST /v1/webhooks/messages", SEED, 201),
        ("POST /v1/webhooks/messages", SEED, 409),
        ("PATCH /v1/webhooks/messages/none", '{"method":"PUT"}', 404),
        ("GET /v1/webhooks/nothing", "", 404),
    ]
    for line, body, expected in requests:
        code, answer = wire(line, JSON, *UNIREST, body=body)
        assert code == expected
        if code >= 400:
            assert isinstance(json.loads(answer)["message"], str)


@pytest.mark.parametrize("name", ["py/repr", "py/object", "py/reduce"])
def test_it_stores_nothing_that_the_python_sdk_would_run(wire, name):
    """Its decoder is jsonpickle's: whoever lists a header of that name would run the value."""
    body = json.dumps(json.loads(SEED) | {"headers": {name: "os/os.getpid()"}})
    assert wire("POST /v1/webhooks/messages", JSON, body=body)[0] == 400
    assert not Webhook.objects.exists()


def test_it_understands_the_node_sdk(wire):
    node = ("content-type: application/json; charset=utf-8", "user-agent: messagemedia-webhooks")
    sent = {
        "url": "http://webhook.com",
        "method": "POST",
        "encoding": "FORM_ENCODED",
        "events": ["RECEIVED_SMS"],
    }
    code, body = wire("POST /v1/webhooks/messages", *node, body=json.dumps(sent))
    made = json.loads(body)
    assert code == 201
    code, body = wire("GET /v1/webhooks/messages/?page=0&pageSize=0", "accept: application/json")
    assert (code, json.loads(body)["pageSize"]) == (200, 100)
    # Without Accept, and with what the SDK calls an empty body.
    assert wire(f"DELETE /v1/webhooks/messages/{made['id']}", "content-length: 0") == (204, b"")
