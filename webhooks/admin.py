from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from webhooks.models import Webhook


@admin.register(Webhook)
class WebhookAdmin(admin.ModelAdmin[Webhook]):
    """Webhooks are their tenants': here they are read. Secrets are not shown."""

    list_display = ("url", "tenant", "method", "active", "created_at")
    list_filter = ("active", "format")
    search_fields = ("url", "tenant__slug")
    fields = readonly_fields = (
        "id", "tenant", "url", "method", "encoding", "events", "headers", "template", "format", "description",
        "read_timeout", "retries", "retry_delay", "active", "disabled_reason", "created_at", "updated_at",
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
