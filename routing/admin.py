"""Operators and routes in the admin; what is changed here takes effect without a restart."""

from django.contrib import admin

from routing.models import Operator, Route


@admin.register(Operator)
class OperatorAdmin(admin.ModelAdmin[Operator]):
    list_display = ("slug", "transport", "channel", "active", "rate", "updated_at")
    list_filter = ("transport", "channel", "active")
    search_fields = ("slug", "name")
    # Set by `manage.py add_operator`, never shown.
    exclude = ("secrets",)


@admin.register(Route)
class RouteAdmin(admin.ModelAdmin[Route]):
    list_display = ("operator", "channel", "prefix", "tenant_id", "sender", "priority", "weight", "active")
    list_filter = ("operator", "channel", "active")
