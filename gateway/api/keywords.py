"""The paths of this resource."""

from django.urls import URLPattern

ROUTES: list[URLPattern] = []
