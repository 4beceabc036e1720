"""Receipts that wait for the answer that they belong to, to read."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest

from gateway.admin import reading
from routing.models import Operator, ParkedReceipt


@admin.register(ParkedReceipt)
class ParkedReceiptAdmin(reading.ReadOnly, reading.Endless):
    """Receipts that belong to nothing yet."""

    list_display = ("id", "operator", "remote_id", "received_at", "tries", "next_match_at")
    fields = ("id", "operator", "remote_id", "receipt", "received_at", "tries", "next_match_at")
    readonly_fields = ("operator",)
    search_fields = ("=remote_id",)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        named = Operator.objects.filter(pk=OuterRef("operator_id")).values("slug")
        rows: QuerySet[Any] = super().get_queryset(request).annotate(operator_slug=Subquery(named))
        return rows

    @admin.display(description="Operator")
    def operator(self, receipt: Any) -> str:
        return receipt.operator_slug or str(receipt.operator_id)
