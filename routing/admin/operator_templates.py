"""WhatsApp's templates as they were last read, to read."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest

from gateway.admin import reading
from routing.models import Operator, OperatorTemplate


@admin.register(OperatorTemplate)
class OperatorTemplateAdmin(reading.ReadOnly, reading.Endless):
    """What an operator may send; `sync_templates`, and the relay each hour, read it."""

    list_display = ("name", "language", "operator", "category", "status", "synchronised_at")
    fields = (
        "operator",
        "name",
        "language",
        "category",
        "status",
        "remote_id",
        "components",
        "synchronised_at",
    )
    readonly_fields = ("operator",)
    list_filter = ("status",)
    search_fields = ("name",)
    ordering = ("name", "language", "id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        named = Operator.objects.filter(pk=OuterRef("operator_id")).values("slug")
        rows: QuerySet[Any] = super().get_queryset(request).annotate(operator_slug=Subquery(named))
        return rows

    @admin.display(description="Operator")
    def operator(self, template: Any) -> str:
        return template.operator_slug or str(template.operator_id)
