"""The ledger in the admin: tenants can be edited, keys revoked, the rest is read."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from gateway import keys
from gateway.models import ApiKey, Event, Message, Tenant


@admin.register(Tenant)
class TenantAdmin(admin.ModelAdmin[Tenant]):
    list_display = ("slug", "name", "active", "backlog_limit", "created_at")
    search_fields = ("slug", "name")
    readonly_fields = ("created_at",)
    exclude = ("callback_secret",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        # A tenant comes with a secret that is shown once: `manage.py create_tenant`.
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin[ApiKey]):
    list_display = ("name", "tenant", "prefix", "rate", "burst", "expires_at", "revoked_at", "last_used_at")
    list_filter = ("tenant",)
    exclude = ("fingerprint", "secret")
    readonly_fields = ("tenant", "prefix", "revoked_at", "last_used_at", "created_at")
    actions = ("revoke",)

    @admin.action(description="Revoke the selected keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            keys.revoke(key=key, now=datetime.now(tz=UTC))

    def has_add_permission(self, request: HttpRequest) -> bool:
        # A key is shown once: `manage.py issue_key`.
        return False


class Ledger(admin.ModelAdmin[Any]):
    """Rows that nobody edits. Listed newest first, and never counted: the tables are large."""

    show_full_result_count = False
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Message)
class MessageAdmin(Ledger):
    list_display = ("id", "tenant_id", "channel", "status", "error_code", "operator", "created_at")
    list_filter = ("status", "channel")


@admin.register(Event)
class EventAdmin(Ledger):
    list_display = ("id", "message_id", "type", "status", "operator", "operator_code", "occurred_at")
