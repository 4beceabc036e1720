"""The docs page, made of the OpenAPI document: for each call what to send, what comes back, and a program."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator

from gateway import errors
from gateway.api import openapi, programs
from gateway.api.described import codes, examples, samples
from gateway.api.members import Member, members
from gateway.api.shapes import Json

# Stands where the server's own address goes.
BASE = "{{base}}"
escape = html.escape
_code = re.compile("`([^`]+)`")

_STYLE = """
:root{color-scheme:light dark;--line:#8883;--soft:#8881;--link:#0b57d0}
@media(prefers-color-scheme:dark){:root{--link:#8ab4f8}}
*{box-sizing:border-box}
body{font:16px/1.55 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}
a{color:var(--link)}
code,pre{font:.875em/1.5 ui-monospace,monospace}
pre{background:var(--soft);padding:.75rem;border-radius:6px;white-space:pre-wrap}
h2{margin-top:3rem;border-bottom:2px solid var(--line)}
h3{margin-top:2.5rem}
h4{margin:1.2rem 0 .3rem}
.m{color:var(--link);font-weight:600}
.w{overflow-x:auto}
table{border-collapse:collapse;width:100%;overflow-wrap:normal}
td,th{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line)}
@media(max-width:40rem){
.w table,.w tbody,.w tr,.w td{display:block}
.w th{display:none}
.w td{border:0;padding:0}
.w tr{border-bottom:1px solid var(--line);padding:.4rem 0}
}
summary{cursor:pointer;margin:.4rem 0}
nav ul{padding-left:1.2rem;columns:20rem}
nav li{break-inside:avoid}
nav p{margin:1rem 0 .3rem;font-weight:600}
""".strip()

_hash = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# The page has a style and an empty icon, and nothing else may be in it or around it.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_hash}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def render(document: Json) -> str:
    """The whole page, with :data:`BASE` for the server's address."""
    body = "".join(
        [
            f"<h1>Trunkline API</h1>{_prose(document['info']['description'])}",
            "<p>The same for programs: <a href=/v1/openapi.json>OpenAPI 3.1</a>.</p>",
            _contents(document),
            _start(document),
            *(_section(document, tag) for tag in document["tags"]),
            _codes(),
        ]
    )
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>Trunkline API</title>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<link rel=icon href=data:,><style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def _prose(text: str) -> str:
    """Paragraphs."""
    return "".join(
        f"<p>{_line(part).replace(chr(10), '<br>')}</p>" for part in text.split("\n\n") if part.strip()
    )


def _line(text: str) -> str:
    """Escaped, with what stands between backticks as code."""
    return _code.sub(r"<code>\1</code>", escape(text))


def _calls(document: Json, tag: str) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            if method in openapi.METHODS and call["tags"][0] == tag:
                yield path, method.upper(), call


def _contents(document: Json) -> str:
    items = "".join(
        f"<p><a href=#{tag['name']}>{_title(tag['name'])}</a></p><ul>"
        + "".join(
            f"<li><a href=#{call['operationId']}><code>{method} {escape(path)}</code></a></li>"
            for path, method, call in _calls(document, tag["name"])
        )
        + "</ul>"
        for tag in document["tags"]
    )
    items += "<p><a href=#codes>Error codes</a></p>"
    return f"<nav><details open><summary>Contents</summary>{items}</details></nav>"


def _title(name: str) -> str:
    return escape(name[:1].upper() + name[1:])


def _start(document: Json) -> str:
    ways = "".join(
        f"<tr><td>{escape(name)}<td>{_line(scheme['description'])}"
        for name, scheme in document["components"]["securitySchemes"].items()
    )
    mode = document["components"]["parameters"]["DeveloperMode"]
    return (
        "<h2 id=start>Start</h2><p>Make an account and a key where the platform is installed:</p>"
        "<pre>manage.py create_tenant Acme\nmanage.py issue_key --tenant acme --name first</pre>"
        "<p>Everything on this page runs as it stands, with these in the environment:</p>"
        f"<pre>export URL={BASE}\nexport KEY=tl_live_…</pre>"
        "<p>The key proves itself in any of these ways:</p>"
        f"<div class=w><table><tr><th>Way<th>How{ways}</table></div>"
        f"<p>Every call with a key takes the header <code>{mode['name']}</code>. {escape(mode['description'])}</p>"
    )


def _section(document: Json, tag: Json) -> str:
    calls = "".join(_call(document, *call) for call in _calls(document, tag["name"]))
    head = f"<h2 id={tag['name']}>{_title(tag['name'])}</h2>{_prose(tag.get('description', ''))}"
    return head + (_receivers(document) if tag["name"] == "webhooks" else "") + calls


def _receivers(document: Json) -> str:
    receivers = "".join(
        _program("receiver", language, source) for language, source in examples.RECEIVERS.items()
    )
    about = (
        "SECRET is the webhook's, or for a message's own callbackUrl the account's callbackSecret; PORT is where to "
        "listen. Each callback's type is printed."
    )
    return f"<h3 id=receiver>Receive callbacks</h3><p>{about}</p>{receivers}" + "".join(
        _callback(document, callback["post"]) for callback in document["webhooks"].values()
    )


def _callback(document: Json, call: Json) -> str:
    """What an endpoint is sent."""
    answers = "".join(
        f"<tr><td>{status}<td>{escape(answer['description'])}" for status, answer in call["responses"].items()
    )
    return (
        f"<h3 id={call['operationId']}>{escape(call['summary'])}</h3>"
        f"{_parameters(call, document['components'])}"
        f"{_body('Body', call['requestBody'], document['components'])}"
        f"<h4>What to answer</h4><div class=w><table>{answers}</table></div>"
    )


def _call(document: Json, path: str, method: str, call: Json) -> str:
    components = document["components"]
    permission = call.get("x-permission")
    parts = [
        f"<h3 id={call['operationId']}><span class=m>{method}</span> <code>{escape(path)}</code></h3>",
        f"<p>{escape(call['summary'])}</p>{_prose(call.get('description', ''))}",
        f"<p>Permission: <code>{permission}</code></p>" if permission else "",
        _parameters(call, components),
        _body("Body", call.get("requestBody", {}), components),
    ]
    parts += [
        _body(f"Answer {status}", answer, components)
        for status, answer in call["responses"].items()
        if "$ref" not in answer
    ]
    parts += [
        _program(call["operationId"], language, source)
        for language, source in programs_of(path, method, call, components).items()
    ]
    return "".join([*parts, _problems(call, components)])


def programs_of(path: str, method: str, call: Json, components: Json) -> examples.Programs:
    """The call's programs by language."""
    if call["operationId"] in examples.PROGRAMS:
        return examples.PROGRAMS[call["operationId"]]
    content = call.get("requestBody", {}).get("content", {}).get("application/json", {})
    parameters = _own_parameters(call, components)
    return programs.of(
        programs.Call(
            method=method,
            path=_place(path, parameters),
            body=content.get("example"),
            public=call.get("security") == [],
            headers=_needed(parameters, "header"),
            query=_needed(parameters, "query"),
        )
    )


def _place(path: str, parameters: list[Json]) -> str:
    """The path with ``$ID`` for its first parameter and an example for every other."""
    named = {f"{{{given['name']}}}": given["schema"] for given in parameters}
    parts = path.split("/")
    holes = [part for part in parts if part.startswith("{")]
    filled = dict.fromkeys(holes[:1], "$ID") | {hole: str(samples.of(named[hole], {})) for hole in holes[1:]}
    return "/".join(filled.get(part, part) for part in parts)


def _needed(parameters: list[Json], place: str) -> dict[str, str]:
    """The headers, or the query, without which the call is refused."""
    return {
        given["name"]: str(samples.of(given["schema"], {}))
        for given in parameters
        if given.get("required") and given["in"] == place
    }


def _program(name: str, language: str, source: str) -> str:
    shown = f"<pre data-example='{name}' data-language='{language}'>{escape(source)}</pre>"
    if language == "curl":
        return shown
    return f"<details><summary>{language}</summary>{shown}</details>"


def _parameters(call: Json, components: Json) -> str:
    rows = ""
    # What every call takes is told of once.
    for parameter in _own_parameters(call, components):
        # Where it stands, and then what it is.
        found = next(members({"properties": {parameter["name"]: parameter["schema"]}}, components))
        about = parameter.get("description") or found.about
        row = Member(found.name, f"{parameter['in']}: {found.kind}", parameter.get("required", False), about)
        rows += _row(row)
    return f"<h4>Parameters</h4>{_table(rows)}" if rows else ""


def _own_parameters(call: Json, components: Json) -> list[Json]:
    """Those that are not the same for every call."""
    given = [
        components["parameters"][parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter
        for parameter in call.get("parameters", ())
    ]
    return [parameter for parameter in given if parameter != components["parameters"]["DeveloperMode"]]


def _body(title: str, body: Json, components: Json) -> str:
    parts = []
    for kind, content in body.get("content", {}).items():
        rows = "".join(map(_row, members(content.get("schema", {}), components)))
        about = body.get("description", "")
        parts.append(f"<h4>{title} <code>{kind}</code></h4>" + (f"<p>{escape(about)}</p>" if about else ""))
        parts.append(
            f"<details><summary>Members</summary>{_table(rows)}</details>"
            if rows and title != "Body"
            else _table(rows)
        )
        if "example" in content:
            shown = content["example"]
            text = shown if isinstance(shown, str) else json.dumps(shown, indent=2, ensure_ascii=False)
            parts.append(f"<details><summary>Example</summary><pre>{escape(text)}</pre></details>")
    if body and not parts:
        parts.append(f"<h4>{title}</h4><p>{escape(body.get('description', ''))}</p>")
    return "".join(parts)


def _row(member: Member) -> str:
    needed = " <b>required</b>" if member.required else ""
    return f"<tr><td><code>{escape(member.name)}</code><td>{escape(member.kind)}{needed}<td>{escape(member.about)}"


def _table(rows: str) -> str:
    return f"<div class=w><table><tr><th>Name<th>Type<th>Meaning{rows}</table></div>" if rows else ""


def _problems(call: Json, components: Json) -> str:
    rows = "".join(
        f"<tr><td>{status}<td>{escape(components['responses'][status]['description'])}"
        for status, answer in call["responses"].items()
        if "$ref" in answer
    )
    return f"<details><summary>Errors</summary><div class=w><table>{rows}</table></div></details>"


def _codes() -> str:
    rows = "".join(
        f"<tr><td><code>{entry['errorCode']}</code><td>{entry['status'] or ''}<td>{escape(entry['message'])}"
        f"<td>{escape(entry['action'])}"
        for entry in errors.catalogue()
    )
    details = "".join(
        f"<tr><td><code>{code}</code><td>{escape(about)}" for code, about in codes.DETAILS.items()
    )
    return (
        "<h2 id=codes>Error codes</h2><p>Those without a status stand in messages and events.</p>"
        f"<div class=w><table><tr><th>Code<th>Status<th>Meaning<th>What to do{rows}</table></div>"
        "<h3>Codes of details</h3><p>Each detail has one of these, or one of those above.</p>"
        f"<div class=w><table>{details}</table></div>"
    )
