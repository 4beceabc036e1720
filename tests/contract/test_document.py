"""The OpenAPI document is valid, complete, and its examples are of its own schemas."""

import ast
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway import errors
from gateway.api import openapi
from gateway.api.described import codes
from tests.contract import routes

ROOT = Path(openapi.__file__).parents[2]
DOCUMENT = routes.document()
CALLS = {
    call["operationId"]: (path, method, call)
    for path, methods in DOCUMENT["paths"].items()
    for method, call in methods.items()
    if method in openapi.METHODS
}


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        kind, name = part["$ref"].removeprefix("#/components/").split("/")
        part = DOCUMENT["components"][kind][name]
    return part


def validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        {**schema, "components": DOCUMENT["components"]}, validate_formats=True
    )


def test_is_openapi_3_1():
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_has_every_path_and_method_that_the_server_has():
    described = {(path, method.upper()) for path, method, _call in CALLS.values()}
    assert described == routes.served()


def test_names_every_call_once():
    assert len(CALLS) == sum(
        method in openapi.METHODS for methods in DOCUMENT["paths"].values() for method in methods
    )


@pytest.mark.parametrize("name", CALLS)
def test_says_of_a_call_what_it_can_answer(name):
    _path, method, call = CALLS[name]
    assert call["summary"]
    assert call["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    statuses = set(call["responses"])
    assert "500" in statuses
    if call.get("security") != []:
        assert {"400", "401", "403", "429", "500", "503"} <= statuses
    if "requestBody" in call:
        assert {"400", "413", "415"} <= statuses
        assert method in {"post", "patch", "put"}
    if "{" in _path:
        assert "404" in statuses
    for response in map(resolved, call["responses"].values()):
        assert "X-Request-Id" in response["headers"]


@pytest.mark.parametrize("name", CALLS)
def test_gives_examples_that_its_schemas_allow(name):
    call = CALLS[name][2]
    for part in [call.get("requestBody", {}), *map(resolved, call["responses"].values())]:
        content = part.get("content", {}).get("application/json")
        if content is None:
            continue
        examples = [content["example"]] if "example" in content else []
        examples += [example["value"] for example in content.get("examples", {}).values()]
        assert examples, "no example"
        check = validator(content["schema"])
        for example in examples:
            assert [error.message for error in check.iter_errors(example)] == [], example


def test_closes_every_body_but_those_of_messagemedia_s_clients():
    open_ = [
        name
        for name, (_path, _method, call) in CALLS.items()
        for content in [call.get("requestBody", {}).get("content", {}).get("application/json")]
        if content is not None and not closed(resolved(content["schema"]))
    ]
    # MessageMedia's clients may send members that we do not know.
    assert set(open_) <= {"createWebhook", "changeWebhook", "createSignatureKey", "enableSignatureKey"}


def closed(schema: dict[str, Any]) -> bool:
    choices = schema.get("oneOf") or schema.get("anyOf")
    if choices:
        return all(closed(resolved(choice)) for choice in choices)
    return schema.get("additionalProperties") is False


def test_lists_every_code_of_a_detail_that_the_code_gives():
    known = codes.DETAILS.keys() | {entry["errorCode"] for entry in errors.catalogue()}
    found = {code: str(path) for path in sources() for code in detail_codes(ast.parse(path.read_text()))}
    assert {code: path for code, path in found.items() if code not in known} == {}


def test_lists_every_error_code_with_what_to_do():
    for entry in errors.catalogue():
        assert entry["message"].endswith("."), entry
        assert len(entry["action"]) > 10, entry
    answered = {entry["errorCode"] for entry in errors.catalogue() if entry["status"]}
    assert set(DOCUMENT["components"]["schemas"]["Code"]["enum"]) == answered


def test_lists_every_code_that_messages_and_events_carry():
    known = {entry["errorCode"] for entry in errors.catalogue()}
    found = {code: str(path) for path in sources() for code in outcome_codes(ast.parse(path.read_text()))}
    assert "UNDELIVERABLE" in found
    assert {code: path for code, path in found.items() if code not in known} == {}


def outcome_codes(tree: ast.AST) -> set[str]:
    """The codes given to ``Move(…)`` and ``_outcome(…)``, and those in tables called ``ERROR_CODES``."""
    places: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"Move", "_outcome"}:
            places += [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(getattr(target, "id", "") == "ERROR_CODES" for target in targets):
                places += node.value.values
    return {
        each.value
        for place in places
        for each in ast.walk(place)
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and re.fullmatch(CODE, each.value)
    }


CODE = r"[A-Z]+(?:_[A-Z]+)*"


def sources() -> list[Path]:
    return [
        path for app in ("gateway", "routing", "smpp_bind", "webhooks") for path in (ROOT / app).rglob("*.py")
    ]


def detail_codes(tree: ast.AST) -> set[str]:
    """The literal second argument of every ``fault(…)``, ``add(…)`` and ``Detail(…)``."""
    return {
        call.args[1].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and len(call.args) == 3
        and getattr(call.func, "attr", getattr(call.func, "id", "")) in {"fault", "add", "Detail"}
        and isinstance(call.args[1], ast.Constant)
        and isinstance(call.args[1].value, str)
    }
