"""The ledger to read: messages with their timeline, events, inbound messages."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from gateway.admin import reading
from gateway.hooks import hooks
from gateway.models import Event, InboundMessage, Message

# Lines of a timeline that are shown.
_LONGEST = 500


class Ledger(reading.ReadOnly, reading.Endless, reading.OfTenant):
    """Rows of a large table, found by key or by what its indexes know."""

    ordering = ("-id",)
    # Gives the list a search box; what is looked for is decided in `found`.
    search_fields = ("id",)

    def found(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        """Rows that a search term finds."""
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (self.found(queryset, term) if term else queryset), False


class ChannelFilter(admin.SimpleListFilter):
    title = "channel"
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("sms", "SMS"), ("whatsapp", "WhatsApp"), ("rcs", "RCS")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(channel=self.value()) if self.value() else None


class OwnerFilter(admin.SimpleListFilter):
    """Handsets' messages to numbers that are nobody's: a number is missing, or its keyword was not sent."""

    title = "owner"
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("nobody", "Nobody's"), ("tenant", "A tenant's")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() not in {"nobody", "tenant"}:
            return None
        return queryset.filter(tenant_id__isnull=self.value() == "nobody")


class Line(NamedTuple):
    """One of a timeline."""

    at: datetime
    type: str
    status: str | None
    operator: str | None
    code: str | None
    details: str


@admin.register(Message)
class MessageAdmin(Ledger):
    list_display = (
        "id", "tenant_name", "recipient", "channel", "status", "error_code", "operator", "created_at",
    )  # fmt: skip
    list_filter = ("status", ChannelFilter, reading.TenantFilter, reading.DayFilter)
    search_help_text = "A message's id, its clientMessageId, or the recipient's whole number."
    change_form_template = "admin/gateway/message_form.html"
    fieldsets = (
        (None, {"fields": ("id", "tenant_name", "status", "error_code", "operator", "created_at")}),
        ("Content", {"fields": ("channel", "recipient", "sender", "text", "content", "encoding", "parts")}),
        (
            "Client's",
            {"fields": ("client_message_id", "batch_id", "metadata", "callback_url", "priority", "fallback")},
        ),
        (
            "Moments",
            {"fields": ("send_at", "expires_at", "sent_at", "delivered_at", "read_at", "ended_at")},
        ),
    )
    readonly_fields = ("tenant_name",)

    def found(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        if key := reading.key(term):
            return queryset.filter(id=key)
        # A number may be a clientMessageId too, but rarely is.
        phone = reading.phone(term) if term.lstrip("+").isdigit() and len(term) >= 8 else None
        if phone is not None:
            by_phone = queryset.filter(tenant_id__in=reading.everyone(), recipient=phone)
            if term.startswith("+") or by_phone.exists():
                return by_phone
        return queryset.filter(tenant_id__in=reading.everyone(), client_message_id=term)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        message = self.get_object(request, object_id)
        lines = timeline(message) if message and self.has_view_permission(request, message) else []
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "timeline": lines})


def timeline(message: Message) -> list[Line]:
    """What happened to a message: its events, and what became of their callbacks, by time."""
    rows = Event.objects.for_tenant(message.tenant_id).filter(message_id=message.id)
    lines = [
        Line(
            row.occurred_at,
            row.type,
            row.status,
            row.operator,
            row.error_code or row.operator_code,
            _details(row),
        )
        for row in rows.order_by("sequence")[:_LONGEST]
    ]
    for hook in hooks.timeline:
        for line in hook(message.tenant_id, message.id):
            details = msgspec.json.encode(line["data"]).decode()
            lines.append(Line(line["occurredAt"], line["type"], None, None, None, details))
    return sorted(lines, key=lambda line: line.at)


def _details(event: Event) -> str:
    given = {**(event.data or {})}
    if event.operator_code and event.error_code:
        given = {"operatorCode": event.operator_code, **given}
    return msgspec.json.encode(given).decode() if given else ""


@admin.register(Event)
class EventAdmin(Ledger):
    list_display = (
        "id", "tenant_name", "message_id", "type", "status", "operator", "operator_code", "occurred_at",
    )  # fmt: skip
    list_filter = (reading.TenantFilter, reading.DayFilter)
    search_help_text = "A message's id, or an event's."
    fields = (
        "id", "tenant_name", "message_id", "type", "status", "sequence", "operator", "operator_code",
        "error_code", "data", "occurred_at",
    )  # fmt: skip
    readonly_fields = ("tenant_name",)

    def found(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        key = reading.key(term)
        if key is None:
            return queryset.none()
        return by_key(queryset, key=key)


def by_key(queryset: QuerySet[Any], *, key: UUID) -> QuerySet[Any]:
    """The row of a key, or the rows of the message that it is: each by its own index."""
    return queryset.filter(id=key) if queryset.filter(id=key).exists() else queryset.filter(message_id=key)


@admin.register(InboundMessage)
class InboundMessageAdmin(Ledger):
    list_display = (
        "id", "tenant_name", "sender", "recipient", "channel", "operator", "keyword", "action", "received_at",
    )  # fmt: skip
    list_filter = (OwnerFilter, ChannelFilter, reading.TenantFilter, reading.DayFilter)
    search_help_text = "An inbound message's id, or the sender's whole number: with a tenant or a day."
    fields = (
        "id", "tenant_name", "operator", "channel", "sender", "recipient", "text", "keyword", "action",
        "in_reply_to", "raw", "received_at",
    )  # fmt: skip
    readonly_fields = ("tenant_name",)

    def found(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        if key := reading.key(term):
            return queryset.filter(id=key)
        phone = reading.phone(term)
        return queryset.filter(sender=term if phone is None else phone)
