"""Paths that answer with and without a trailing slash, and never by a redirect: it would turn POST into GET."""

from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, path


def both(route: str, view: Callable[..., Any]) -> list[URLPattern]:
    """The route as it is and with a slash."""
    return [path(route, view), path(f"{route}/", view)]
