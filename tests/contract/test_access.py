"""Every call needs a key, and the permission that the document names."""

import pytest
from django.test import Client

from gateway.api.views import PublicView
from gateway.models.api_key import PERMISSIONS
from tests.contract import routes
from tests.factories import Caller

DOCUMENT = routes.document()
CALLS = [(route, method) for route, view in routes.walked() for method in sorted(routes.methods(view))]
PUBLIC = {
    (route, method)
    for route, view in routes.walked()
    for method in routes.methods(view)
    if issubclass(view, PublicView)
}


def described(route: str, method: str) -> dict:
    return DOCUMENT["paths"][routes.described(route.rstrip("/"))][method.lower()]


def test_shows_to_everyone_what_says_what_the_api_is_and_nothing_else():
    assert {route.rstrip("/") for route, _method in PUBLIC} == {
        "/v1/docs",
        "/v1/error-codes",
        "/v1/openapi.json",
    }


def test_answers_every_collection_with_and_without_a_slash():
    found = {route for route, _method in CALLS}
    # A file has no slash, and a path of one's own takes it in.
    single = {route for route in found if route.endswith((".json", ".csv")) or "<path:" in route}
    assert {route for route in found - single if route.rstrip("/") + "/" not in found} == set()
    assert {route.rstrip("/") for route in found} <= found


@pytest.mark.parametrize(("route", "method"), CALLS, ids=[f"{method} {route}" for route, method in CALLS])
def test_needs_a_key_and_its_permission(acme, route, method):
    path = route.replace("<", "").replace(">", "")
    call = described(route, method)
    if (route, method) in PUBLIC:
        assert call["security"] == []
        assert Client().generic(method, path).status_code == 200
        return
    nobody = Client().generic(method, path)
    assert (nobody.status_code, nobody.json()["errorCode"]) == (401, "UNAUTHENTICATED")
    others = [name for name in PERMISSIONS if name != call["x-permission"]]
    answer = Caller(acme.tenant, name="lacking", permissions=others).send(method, path)
    assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
    assert call["x-permission"] in answer.json["details"][0]["message"]
