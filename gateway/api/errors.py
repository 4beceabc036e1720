"""Problems as HTTP answers, and the catalogue of their codes."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions

from gateway import errors
from gateway.api import parsing, rendering, requestid
from gateway.errors import Problem

log = logging.getLogger(__name__)

_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_BY_STATUS: dict[int, type[Problem]] = {
    400: errors.MalformedBody,
    401: errors.Unauthenticated,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    406: errors.NotFound,
    415: errors.UnsupportedMediaType,
    429: errors.RateLimited,
}


def answer(exc: Exception, context: dict[str, Any]) -> HttpResponse:
    """REST framework's exception handler: every exception becomes the error body."""
    view = context.get("view")
    request = context["request"]._request if context.get("request") else None
    problem = as_problem(exc)
    if isinstance(problem, errors.MethodNotAllowed) and view is not None:
        problem.headers["Allow"] = ", ".join(view.allowed_methods)
    return respond(problem, request)


def as_problem(exc: Exception) -> Problem:
    """The problem that stands for an exception; one that nobody foresaw is logged with its traceback."""
    if isinstance(exc, Problem):
        return exc
    if isinstance(exc, OperationalError | InterfaceError):
        log.warning("api.database_away", extra={"reason": type(exc).__name__})
        return errors.Unavailable(retry_after=2)
    if isinstance(exc, Http404):
        return errors.NotFound()
    if isinstance(exc, DjangoPermissionDenied):
        return errors.PermissionDenied()
    if isinstance(exc, exceptions.APIException) and exc.status_code in _BY_STATUS:
        wait = getattr(exc, "wait", None)
        return _BY_STATUS[exc.status_code](retry_after=None if wait is None else int(wait) + 1)
    log.error("api.failed", exc_info=exc)
    return errors.Internal()


def respond(problem: Problem, request: HttpRequest | None) -> HttpResponse:
    """The error body, its status and its headers."""
    request_id = requestid.of(request)
    response = HttpResponse(
        rendering.encode(
            {**body(problem), "retryable": problem.retryable, **problem.body, "requestId": request_id}
        ),
        content_type=rendering.CONTENT_TYPE,
        status=problem.status,
        headers=problem.headers,
    )
    response.headers[requestid.HEADER] = request_id
    if _keeps_waiting(request, problem):
        response.headers["Connection"] = "close"
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.status == errors.Unauthenticated.status:
        response.headers["WWW-Authenticate"] = 'Bearer realm="trunkline"'
    return response


def _keeps_waiting(request: HttpRequest | None, problem: Problem) -> bool:
    """Whether some of the body is still to come. Whoever shows no credentials is not waited for."""
    if request is None or request.method not in _WITH_BODY:
        return False
    if problem.status == errors.Unauthenticated.status:
        return (
            request.META.get("CONTENT_LENGTH", "") not in {"", "0"}
            or "HTTP_TRANSFER_ENCODING" in request.META
        )
    return not parsing.discard(request)


def body(problem: Problem) -> dict[str, Any]:
    """``message, error, errorCode, details``."""
    return {
        "message": problem.message,
        "error": problem.message,
        "errorCode": problem.code,
        "details": [detail._asdict() for detail in problem.details],
    }
