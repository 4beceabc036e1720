"""``/v1/docs`` for people and ``/v1/openapi.json`` for programs, both from :mod:`gateway.api.openapi`."""

import functools

from django.http import HttpResponse
from rest_framework.request import Request

from gateway.api import openapi, page, rendering
from gateway.api.views import PublicView


class OpenApi(PublicView):
    """The document as it is: the request's id is in the header only, a reader would stumble over a member."""

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(_document(), content_type=rendering.CONTENT_TYPE)


class Docs(PublicView):
    """One page without scripts or anything fetched from elsewhere."""

    def get(self, request: Request) -> HttpResponse:
        base = page.escape(f"{request.scheme}://{request.get_host()}")
        answer = HttpResponse(_page().replace(page.BASE, base), content_type="text/html; charset=utf-8")
        answer.headers["Content-Security-Policy"] = page.POLICY
        return answer


# Both are made once: every app that adds a part has done so when its routes are loaded.
@functools.cache
def _document() -> bytes:
    return rendering.encode(openapi.document())


@functools.cache
def _page() -> str:
    return page.render(openapi.document())
