"""Requests to ``/v1`` go straight to their view.

Sessions, cookies, CSRF tokens, messages and static files are the admin's: for a client with a key they would be a
half of a request's work. What is left of them that matters to an API is two headers.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import ResolverMatch, resolve

from gateway import metrics

Answer = Callable[[HttpRequest], HttpResponseBase]


class Shortcut:
    """The first middleware; whatever does not begin with ``/v1/`` takes the way through all the others."""

    def __init__(self, get_response: Answer) -> None:
        self._others = get_response
        # Exceptions, an unknown path among them, become answers just as they do for everything else.
        self._view: Any = convert_exception_to_response(_view)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith("/v1/"):
            return self._others(request)
        began = time.perf_counter()
        response: HttpResponseBase = self._view(request)
        match = request.resolver_match
        metrics.observe(
            method=request.method,
            route=match.route if match else "unknown",
            status=response.status_code,
            seconds=time.perf_counter() - began,
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        if isinstance(response, HttpResponse) and response.status_code != 204:
            response.headers["Content-Length"] = str(len(response.content))
        return response


def _view(request: HttpRequest) -> HttpResponseBase:
    match = _resolved(request.path_info)
    request.resolver_match = match
    answer: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
    return answer.render() if isinstance(answer, SimpleTemplateResponse) else answer


@functools.lru_cache(maxsize=512)
def _resolved(path: str) -> ResolverMatch:
    """The view of a path. The few that have no id in them are nearly all of the traffic."""
    return resolve(path)
