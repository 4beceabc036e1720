"""Programs for the docs page, made of a call's own example: the same call by curl, in Python and in Node."""

import json
from dataclasses import dataclass, field
from typing import Any

from gateway.api.described import examples

_WORDS = {"true": "True", "false": "False", "null": "None"}


@dataclass(frozen=True, slots=True)
class Call:
    """What is called. ``$ID`` stands in the path for what the environment says; a body of None is none."""

    method: str
    path: str
    body: Any = None
    public: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)


def of(call: Call) -> examples.Programs:
    """The programs by language."""
    return {"curl": _curl(call), "Python": _python(call), "Node": _node(call)}


def _curl(call: Call) -> str:
    headers = [f"-H '{name}: {value}'" for name, value in call.headers.items()]
    query = [f"--data-urlencode '{name}={value}'" for name, value in call.query.items()]
    tail = " ".join([*headers, *(["-G", *query] if query else [])])
    return examples.curl(call.method, call.path, body=call.body, public=call.public, tail=tail)


def _python(call: Call) -> str:
    headers = [] if call.public else ['"Authorization": "Bearer " + os.environ["KEY"]']
    headers += [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in call.headers.items()]
    given = [
        f"headers={{{', '.join(headers)}}}" if headers else "",
        f"params={_literal(call.query)}" if call.query else "",
        f"json={_literal(call.body)}" if call.body is not None else "",
        "timeout=10",
    ]
    arguments = "".join(f"    {one},\n" for one in given if one)
    place = "{url}" + call.path.replace("$ID", "{os.environ['ID']}")
    return (
        'import os\n\nimport requests\n\nurl = os.environ["URL"]\n'
        f'answer = requests.{call.method.lower()}(\n    f"{place}",\n{arguments})\n'
        "answer.raise_for_status()\nprint(answer.text)\n"
    )


def _literal(value: Any, depth: int = 1) -> str:
    """A JSON value as Python writes it, an item a line; the first line is ``depth`` steps in."""
    if isinstance(value, dict):
        items = [f"{json.dumps(name)}: {_literal(item, depth + 1)}" for name, item in value.items()]
    elif isinstance(value, list):
        items = [_literal(item, depth + 1) for item in value]
    else:
        text = json.dumps(value, ensure_ascii=False)
        return _WORDS.get(text, text)
    start, end = "{}" if isinstance(value, dict) else "[]"
    if not items:
        return start + end
    step = "\n" + "    " * depth
    return f"{start}{step}    {f',{step}    '.join(items)},{step}{end}"


def _node(call: Call) -> str:
    headers = [] if call.public else ["Authorization: `Bearer ${key}`"]
    headers += ['"Content-Type": "application/json"'] if call.body is not None else []
    headers += [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in call.headers.items()]
    given = [
        f"method: {json.dumps(call.method)}" if call.method != "GET" else "",
        f"headers: {{ {', '.join(headers)} }}" if headers else "",
        f"body: JSON.stringify({_written(call.body)})" if call.body is not None else "",
    ]
    options = "".join(f"  {one},\n" for one in given if one)
    place = "${url}" + call.path.replace("$ID", "${id}")
    place += f"?${{new URLSearchParams({json.dumps(call.query)})}}" if call.query else ""
    return (
        "const { URL: url, KEY: key, ID: id } = process.env;\n\n"
        f"const answer = await fetch(`{place}`" + (f", {{\n{options}}}" if options else "") + ");\n"
        "if (!answer.ok) throw new Error(await answer.text());\nconsole.log(await answer.text());\n"
    )


def _written(body: Any) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False).replace("\n", "\n  ")
