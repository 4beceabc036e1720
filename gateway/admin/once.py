"""The page that shows a new secret once: it is the answer to the form, and kept in no session, address or log."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst


class ShowsOnce(admin.ModelAdmin[Any]):
    """``save_model`` of a new object calls :meth:`show_once`; the answer to the form is the page.

    An action that makes a secret answers with :meth:`shown_once`.
    """

    def show_once(self, request: HttpRequest, secrets: Sequence[tuple[str, str]]) -> None:
        """Show names and values when the object is saved."""
        request._shown_once = list(secrets)  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: Model, post_url_continue: str | None = None
    ) -> HttpResponse:
        what = capfirst(obj._meta.verbose_name)
        return self.shown_once(
            request, obj, title=f"{what} {obj} was made", secrets=getattr(request, "_shown_once", [])
        )

    def shown_once(
        self, request: HttpRequest, obj: Model, *, title: str, secrets: Sequence[tuple[str, str]]
    ) -> HttpResponse:
        """The page: names and values of what is new about an object."""
        opts = obj._meta
        path = f"admin:{opts.app_label}_{opts.model_name}"
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "object": obj,
            "object_url": reverse(f"{path}_change", args=[obj.pk]),
            "list_url": reverse(f"{path}_changelist"),
            "list_name": opts.verbose_name_plural,
            "secrets": secrets,
        }
        page = TemplateResponse(request, "admin/gateway/shown_once.html", context)
        page.headers["Cache-Control"] = "no-store"
        return page
