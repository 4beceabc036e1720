"""Webhooks and what became of their callbacks, to read: they are their tenants'. Secrets are not shown."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import formats

from gateway.admin import messages, reading
from webhooks import admin_endpoints, admin_switching
from webhooks.models import Attempt, Callback, DueCallback, Webhook

__all__ = ["CallbackAdmin", "WebhookAdmin", "admin_endpoints"]

# Attempts that are shown.
_LONGEST = 200


@admin.register(Webhook)
class WebhookAdmin(admin_switching.Switched, reading.ReadOnly):
    list_display = (
        "url", "tenant", "method", "format", "active", "circuit", "failing", "disabled_reason", "created_at",
    )  # fmt: skip
    list_filter = ("active", "format", reading.TenantFilter)
    list_select_related = ("tenant",)
    search_fields = ("=id", "url", "tenant__slug")
    search_help_text = "Part of the URL, the webhook's id, or the tenant's slug."
    ordering = ("-id",)
    fields = readonly_fields = (
        "id", "tenant", "url", "method", "encoding", "events", "header_names", "template", "format",
        "description", "timeout", "retries", "delay", "active", "disabled_reason", "created_at",
        "updated_at",
    )  # fmt: skip

    @admin.display(description="Read timeout (ms)")
    def timeout(self, webhook: Webhook) -> str:
        return "the platform's" if webhook.read_timeout is None else str(webhook.read_timeout)

    @admin.display(description="Retry delay (s)")
    def delay(self, webhook: Webhook) -> str:
        return "the platform's" if webhook.retry_delay is None else str(webhook.retry_delay)

    @admin.display(description="Headers")
    def header_names(self, webhook: Webhook) -> str:
        """Without their values, which are credentials more often than not."""
        return ", ".join(webhook.headers) or "—"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if key := reading.key(search_term):
            return queryset.filter(pk=key), False
        return super().get_search_results(request, queryset, search_term)


@admin.register(Callback)
class CallbackAdmin(messages.Ledger):
    list_display = (
        "id", "tenant_name", "type", "state", "attempts", "status_code", "message_id", "endpoint", "attempted_at",
    )  # fmt: skip
    list_filter = ("state", reading.TenantFilter, reading.DayFilter)
    search_help_text = "A callback's id, a message's, or a webhook's (with a day, where there are many)."
    change_form_template = "admin/webhooks/callback_form.html"
    fields = (
        "id", "tenant_name", "type", "state", "attempts", "status_code", "attempted_at", "next_attempt_at",
        "event_id", "message_id", "endpoint",
    )  # fmt: skip
    readonly_fields = ("tenant_name", "next_attempt_at")

    def found(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        key = reading.key(term)
        if key is None:
            return queryset.none()
        if Webhook.objects.filter(pk=key).exists():
            return queryset.filter(endpoint=key)
        return messages.by_key(queryset, key=key)

    @admin.display(description="Next attempt")
    def next_attempt_at(self, callback: Callback) -> Any:
        due = DueCallback.objects.for_tenant(callback.tenant_id).filter(pk=callback.pk).first()
        if due is None:
            return "—"
        held = callback.state == "held"
        return "when its webhook is active again" if held else formats.localize(due.next_attempt_at)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        callback = self.get_object(request, object_id)
        rows: list[Attempt] = []
        if callback is not None and self.has_view_permission(request, callback):
            tries = Attempt.objects.for_tenant(callback.tenant_id).filter(callback_id=callback.pk)
            rows = list(tries.order_by("number")[:_LONGEST])
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "tries": rows})
