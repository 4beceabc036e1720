"""Whatever a tenant calls, with whatever ids, it neither sees nor changes what is another's; nor does a sandbox."""

import json
import re

import pytest
from django.apps import apps
from django.db.models import Model
from django.http import HttpResponse

from gateway.api.described import samples
from gateway.api.views import PublicView
from tests.contract import routes
from tests.contract.world import MARK, NUMBERS, World, owner
from tests.factories import Answer, Caller, make_tenant

DOCUMENT = routes.document()
# Every route and method that needs a key; each route once without its slash.
CALLS = [
    (route, method)
    for route, view in routes.walked()
    if not issubclass(view, PublicView) and not route.endswith("/")
    for method in sorted(routes.methods(view))
]
# What a list has for every tenant.
BUILT_IN = {"/v1/keywords"}
# What answers about the one thing that a tenant has or has not: by method, when it has none.
NONE = {
    ("/v1/iam/signature_keys/enabled", "GET"): 404,
    ("/v1/iam/signature_keys/enabled", "PATCH"): 404,
    ("/v1/iam/signature_keys/enabled", "DELETE"): 204,
}
# Filters that would find the other's, and what a call cannot do without.
QUERIES = {
    ("/v1/messages", "GET"): [
        "to=%2B14155550171",
        "clientMessageId=theirs-alone",
        "batchId={batch}",
        "metadata.order=42",
    ],
    ("/v1/templates", "GET"): ["name=theirs-alone"],
    ("/v1/contacts", "GET"): ["phone=%2B14155550172", "tag=vip"],
    ("/v1/opt-outs", "GET"): ["phone=%2B14155550173"],
    ("/v1/opt-outs", "DELETE"): ["phone=%2B14155550173"],
    ("/v1/inbound", "GET"): ["from=%2B14155550174"],
    ("/v1/reports/messages.csv", "GET"): ["recipient=%2B14155550171", "batchId={batch}"],
}
STRANGERS = {"another tenant": {}, "the tenant's own sandbox": {"x-developer-mode": "true"}}


@pytest.fixture
def stranger(request, acme) -> Caller:
    return Caller(make_tenant("other")) if request.param == "another tenant" else acme


def test_knows_whose_id_every_route_takes():
    unknown = [route for route, _method in CALLS if "<" in route and owner(route) is None]
    assert unknown == [], "say in tests/contract/world.py whose id it is, and make one"


@pytest.mark.parametrize("stranger", STRANGERS, indirect=True, ids=list(STRANGERS))
@pytest.mark.parametrize(("route", "method"), CALLS, ids=[f"{method} {route}" for route, method in CALLS])
def test_neither_sees_nor_changes_what_is_another_s(request, route, method, stranger, world):
    headers = STRANGERS[request.node.callspec.params["stranger"]]
    before = rows_of(world)
    for query in ["", *QUERIES.get((route, method), [])]:
        path = filled(route, world) + (f"?{query.format(**world.ids)}" if query else "")
        answer = called(stranger, method, path, route, headers)
        text = answer.content.decode()
        assert MARK not in text.lower(), path
        assert NUMBERS not in text, path
        assert not [key for key in world.ids.values() if key in text], path
        check(route, method, answer)
    assert rows_of(world) == before


def filled(route: str, world: World) -> str:
    """The route about what the tenant owns; its further parameters say something that is there."""
    first, *rest = re.findall(r"<[^>]+>", route) or [""]
    path = route.replace(first, world.ids[owner(route)]) if first else route
    for parameter in rest:
        path = path.replace(parameter, "vip")
    return path


def called(caller: Caller, method: str, path: str, route: str, headers: dict[str, str]) -> Answer:
    """The answer to the call; one that comes as a stream is read to its end."""
    given = headers | {"authorization": f"Bearer {caller.api_key}"}
    response = caller.client.generic(
        method, path, body_of(route, method), content_type="application/json", headers=given
    )
    whole = HttpResponse(response.getvalue(), status=response.status_code, headers=response.headers)
    return Answer(whole)


def body_of(route: str, method: str) -> bytes:
    """A body that the call takes, as the document has it."""
    call = DOCUMENT["paths"][routes.described(route)][method.lower()]
    content = call.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return b""
    example = content.get("example") or samples.of(content["schema"], DOCUMENT["components"])
    return json.dumps(example).encode()


def check(route: str, method: str, answer: Answer) -> None:
    """Another's thing is not there; a list has nothing in it; what is made is the caller's own."""
    if "<" in route:
        assert (answer.status, answer.code) == (404, "NOT_FOUND")
    elif (route, method) in NONE:
        assert answer.status == NONE[route, method]
    elif method == "DELETE":
        assert answer.status in {400, 404}
    elif answer.status == 403:
        assert (answer.code, route) == ("FEATURE_DISABLED", "/v1/sandbox/inbound")
    elif method != "GET":
        assert answer.status in {200, 201}, answer.json
    elif answer.json is None:
        assert answer.status == 200
        assert len(answer.content.decode().splitlines()) <= 1
    else:
        assert answer.status == 200, answer.json
        whole = answer.json if isinstance(answer.json, dict) else {"data": answer.json}
        lists = [whole.get("data"), whole.get("pageData")]
        assert route in BUILT_IN or not any(lists), answer.json


def rows_of(world: World) -> dict[str, list[dict[str, object]]]:
    """Everything that is the tenant's, table by table."""
    tenant_id = world.caller.tenant.pk
    return {
        model._meta.db_table: sorted(model._base_manager.filter(tenant_id=tenant_id).values(), key=repr)
        for model in apps.get_models()
        if is_owned(model)
    }


def is_owned(model: type[Model]) -> bool:
    # A key's last use is noted whatever the call is about.
    return any(field.attname == "tenant_id" for field in model._meta.concrete_fields) and (
        model.__name__ != "ApiKey"
    )
