"""``GET /v1/error-codes``."""

from django.http import HttpResponse
from rest_framework.request import Request

from gateway import errors
from gateway.api.views import PublicView, answer


class ErrorCodes(PublicView):
    def get(self, request: Request) -> HttpResponse:
        return answer(request, {"data": errors.catalogue(), "nextCursor": None})
