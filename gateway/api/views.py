"""What every view of ``/v1`` shares: strict bodies, JSON whatever happens, a request id, and no work per request
that the contract does not need."""

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views import defaults
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway import errors
from gateway.api import authentication, parsing, rendering, requestid
from gateway.api.errors import respond
from gateway.keys import Credential

_UNREAD = object()
_renderer = rendering.JSONRenderer()


class StrictRequest(Request):
    """``data`` is what :func:`gateway.api.parsing.load` says, chunked bodies included."""

    _loaded: Any = _UNREAD

    def _load_data_and_files(self) -> None:
        if self._loaded is _UNREAD:
            self._loaded = parsing.load(self._request)
        self._data = self._full_data = self._loaded

    @property
    def members(self) -> dict[str, Any]:
        """The body, which must be an object.

        Raises:
            errors.MalformedBody: it is something else.
        """
        self._load_data_and_files()
        if not isinstance(self._loaded, dict):
            raise errors.MalformedBody("The body must be a JSON object.")
        return self._loaded


class View(APIView):
    """A view says what a method takes with ``permission`` or ``permissions`` (see HasPermission)."""

    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    permission: ClassVar[str | None] = None
    permissions: ClassVar[dict[str, str]] = {}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        return StrictRequest(request, authenticators=self.get_authenticators())

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # One renderer, no versions: whatever Accept says, the answer is JSON.
        self.perform_authentication(request)
        if isinstance(request.auth, Credential):
            authentication.throttle(request.auth, self.headers)
            caller: Any = authentication.in_mode(request._request, request.auth)
            if caller is not request.auth:
                request.auth = request.user = caller
        self.check_permissions(request)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        request_id = requestid.of(request._request)
        response.headers[requestid.HEADER] = request_id
        if isinstance(response, Response):
            if isinstance(response.data, dict):
                response.data.setdefault("requestId", request_id)
            response.accepted_renderer = _renderer
            response.accepted_media_type = rendering.CONTENT_TYPE
            response.renderer_context = {}  # type: ignore[attr-defined]
        for name, value in self.headers.items():
            response.headers[name] = value
        return response

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}


class PublicView(View):
    """A view that anyone may read."""

    authentication_classes = ()
    permission_classes = ()


def credential(request: Request) -> Credential:
    """The key that the request came with."""
    found = request.auth
    assert isinstance(found, Credential)
    return found


def answer(request: Request, data: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """``data`` and the request id, as JSON."""
    data["requestId"] = requestid.of(request._request)
    return HttpResponse(rendering.encode(data), content_type=rendering.CONTENT_TYPE, status=status)


class Unknown(PublicView):
    """Every path under ``/v1`` that nothing else answers."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return respond(errors.UnknownPath(), request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _json(request, errors.Invalid("The request cannot be read.")) or defaults.bad_request(
        request, exception
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _json(request, errors.PermissionDenied()) or defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _json(request, errors.UnknownPath()) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    return _json(request, errors.Internal()) or defaults.server_error(request)


def _json(request: HttpRequest, problem: errors.Problem) -> HttpResponse | None:
    """The problem in JSON under ``/v1``; elsewhere people read, and Django's pages do."""
    return respond(problem, request) if request.path_info.startswith("/v1") else None
