"""Every program on the docs page runs as it stands, against a live server."""

import base64
import contextlib
import hashlib
import json
import socket
import subprocess
import time
import urllib.request
from http.client import HTTPConnection

import pytest

from deploy.home import free_port
from gateway.api import openapi
from tests.contract import programs, routes
from tests.contract.world import World, owner
from tests.factories import Caller, make_tenant
from webhooks import signing

# Each program of a folder, one after the other in one process: a line says how it ended.
RUNNERS = {
    "Python": """import contextlib, io, json, os, sys
for name, file, key in json.load(sys.stdin):
    os.environ["ID"] = key
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(open(file).read(), file, "exec"), {})
        print(name, "well", flush=True)
    except Exception as error:
        print(name, repr(error), flush=True)
""",
    "Node": """import { readFileSync } from "node:fs";
const print = console.log;
for (const [name, file, key] of JSON.parse(readFileSync(0))) {
  process.env.ID = key;
  console.log = () => {};
  await import(file).then(() => print(name, "well"), (error) => print(name, String(error)));
}
""",
}
CALLS = {
    call["operationId"]: (path, method)
    for path, methods in routes.document()["paths"].items()
    for method, call in methods.items()
    if method in openapi.METHODS
}


@pytest.fixture
def live(live_server) -> "Live":
    return Live(live_server.url)


class Live:
    """A server with one tenant, and the programs of its page."""

    def __init__(self, url: str) -> None:
        self.url = url
        with urllib.request.urlopen(f"{url}/v1/docs") as answer:
            self.page = answer.read().decode()
        self.programs = programs.Programs(self.page).found
        self.world = World(Caller(make_tenant("acme")))

    def run(self, name: str, language: str, folder, **variables: str) -> str:
        given = {"URL": self.url, "KEY": self.world.caller.api_key} | variables
        return programs.run(language, self.programs[name, language], folder, **given)


@pytest.fixture
def page(client) -> str:
    return client.get("/v1/docs").content.decode()


def test_fetches_nothing_from_elsewhere(page):
    assert "<script" not in page
    assert "src=" not in page
    assert "<link rel=icon href=data:," in page
    assert page.count("<link") == 1


def test_has_a_program_for_every_call(page):
    found = programs.Programs(page).found
    for language in ("curl", "Python", "Node"):
        assert {name for name, written in found if written == language} - {"receiver"} == set(CALLS)


def test_lets_a_browser_load_nothing_but_its_own_style(client):
    answer = client.get("/v1/docs")
    style = answer.content.decode().partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", f"style-src 'sha256-{digest}'", "frame-ancestors 'none'"} <= set(policy)
    assert " style=" not in answer.content.decode().replace(style, "")


def test_says_where_the_server_is(client):
    assert "export URL=http://api.example.com:8080\n" in (
        client.get("/v1/docs", headers={"host": "api.example.com:8080"}).content.decode()
    )


@pytest.mark.parametrize("language", ["Python", "Node"])
def test_runs_as_it_stands(live, language, tmp_path):
    key = live.world.ids["message"]
    status = live.run("getMessage", language, tmp_path, ID=key)
    assert status.startswith("accepted ")
    listed = live.run("listMessages", language, tmp_path)
    assert [line.split()[1] for line in listed.splitlines()] == ["accepted", "accepted"]
    sent = live.run("sendMessage", language, tmp_path)
    assert sent.endswith(" accepted\n")
    assert live.run("sendMessage", language, tmp_path) == sent
    assert len(live.run("sendMessages", language, tmp_path).splitlines()) == 2
    assert "whsec_" in live.run("createWebhook", language, tmp_path)


def test_runs_every_line_of_curl(live, tmp_path):
    wrong = {}
    for name in sorted(CALLS, key=order):
        path, _method = CALLS[name]
        body, _, status = live.run(name, "curl", tmp_path, ID=live.world.ids.get(owner(path), "")).rpartition(
            "\n"
        )
        if status not in {"200", "201", "202", "204"}:
            wrong[name] = (status, body[:500])
    assert wrong == {}, json.dumps(wrong, indent=1)


@pytest.mark.parametrize("language", ["Python", "Node"])
def test_runs_every_program_in_other_languages(live, language, tmp_path):
    wanted = []
    for name in sorted(CALLS, key=order):
        file = tmp_path / f"{name}.{'py' if language == 'Python' else 'mjs'}"
        file.write_text(live.programs[name, language])
        wanted.append((name, str(file), live.world.ids.get(owner(CALLS[name][0]), "")))
    done = subprocess.run(
        programs.command(language, RUNNERS[language], tmp_path),
        env=programs.environment(tmp_path, {"URL": live.url, "KEY": live.world.caller.api_key}),
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        timeout=programs.SECONDS,
        check=False,
    )
    assert done.stdout.splitlines() == [f"{name} well" for name, _file, _key in wanted], done.stderr


def order(name: str) -> tuple[bool, bool, bool, bool, int]:
    """What takes something away comes last, from the tip down; opt-outs and imports change what others meet.

    A replay is canceled first: there is one of a webhook at a time.
    """
    path, method = CALLS[name]
    return method == "delete", "opt-outs" in path, "import" in path, "/replays/" not in path, -path.count("/")


@pytest.mark.parametrize("language", ["Python", "Node"])
def test_receives_callbacks_that_are_signed_and_no_others(page, language, tmp_path):
    source = programs.Programs(page).found["receiver", language]
    secret, port = signing.new_secret(), free_port()
    process = subprocess.Popen(
        programs.command(language, source, tmp_path),
        env=programs.environment(tmp_path, {"SECRET": secret, "PORT": str(port)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        body = json.dumps({"type": "message.delivered", "data": {"to": "+14155550101", "text": "é"}}).encode()
        await_port(port)
        now = int(time.time())
        assert post(port, body, signed(secret, now, body)) == 204
        assert process.stdout.readline() == "message.delivered\n"
        both = signed(signing.new_secret(), now, body)["webhook-signature"]
        rotated = signed(secret, now, body)
        rotated["webhook-signature"] = f"{both} {rotated['webhook-signature']}"
        assert post(port, body, rotated) == 204
        assert post(port, body + b" ", signed(secret, now, body)) == 401
        assert post(port, body, signed(signing.new_secret(), now, body)) == 401
        assert post(port, body, signed(secret, now - 400, body)) == 401
        assert post(port, body, {}) == 401
    finally:
        process.kill()
        process.communicate()


def signed(secret: str, now: int, body: bytes) -> dict[str, str]:
    signature = signing.sign(keys=[signing.key(secret)], message_id=b"evt-1", timestamp=now, body=body)
    return {
        "webhook-id": "evt-1",
        "webhook-timestamp": str(now),
        "webhook-signature": signature.decode(),
    }


def post(port: int, body: bytes, headers: dict[str, str]) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def await_port(port: int) -> None:
    until = time.monotonic() + programs.SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("nothing listens")
