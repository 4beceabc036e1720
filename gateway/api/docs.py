"""``/v1/docs`` and ``/v1/openapi.json``."""

from django.http import HttpResponse
from rest_framework.request import Request

from gateway.api.views import PublicView, answer


class OpenApi(PublicView):
    def get(self, request: Request) -> HttpResponse:
        return answer(request, {})


class Docs(PublicView):
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse("")
