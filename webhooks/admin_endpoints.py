"""Endpoints with their circuits, replays and signature keys, to read; a replay may be canceled."""

from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from gateway import errors
from gateway.admin import audit, reading
from gateway.models import Message
from webhooks import breaker, destinations, replays
from webhooks.models import Callback, Endpoint, Replay, SignatureKey, Webhook


class ByKey(admin.ModelAdmin[Any]):
    """Found by the row's own key, or by what else is searched."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if key := reading.key(search_term):
            return queryset.filter(pk=key), False
        return super().get_search_results(request, queryset, search_term)


@admin.register(Endpoint)
class EndpointAdmin(reading.ReadOnly, reading.Endless, reading.OfTenant):
    """Those of which anything was learned."""

    list_display = (
        "id", "tenant_name", "circuit", "opened_at", "failing_since", "failures", "paused_until", "cap",
    )  # fmt: skip
    list_filter = (
        ("opened_at", admin.EmptyFieldListFilter),
        ("failing_since", admin.EmptyFieldListFilter),
        reading.TenantFilter,
    )
    search_fields = ("id",)
    search_help_text = "An endpoint's id or a webhook's."
    ordering = ("-id",)
    fields = readonly_fields = (
        "id", "tenant_name", "leads_to", "circuit", "opened_at", "probes", "paused_until", "failing_since",
        "failures", "cap",
    )  # fmt: skip

    @admin.display(description="Circuit")
    def circuit(self, endpoint: Endpoint) -> str:
        return breaker.circuit(endpoint)

    @admin.display(description="Leads to")
    def leads_to(self, endpoint: Endpoint) -> str:
        """A webhook, a webhook's failover, or the host of its messages' callbackUrls."""
        for key in Webhook.objects.for_tenant(endpoint.tenant_id).values_list("pk", flat=True):
            if key == endpoint.pk:
                return f"webhook {key}"
            if destinations.of_failover(webhook_id=key) == endpoint.pk:
                return f"failover of webhook {key}"
        return _host(endpoint)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        key = reading.key(search_term)
        if key is None:
            return queryset.none(), False
        return queryset.filter(pk__in=[key, destinations.of_failover(webhook_id=key)]), False


def _host(endpoint: Endpoint) -> str:
    """As the last message with a callbackUrl there has it; the rest of the URL is the tenant's."""
    callbacks = Callback.objects.for_tenant(endpoint.tenant_id).filter(endpoint=endpoint.pk)
    last = callbacks.order_by("-id").first()
    if last is None:
        return "—"
    message = Message.objects.for_tenant(endpoint.tenant_id).filter(pk=last.message_id).first()
    if message is None or message.callback_url is None:
        return "—"
    return f"callbackUrls at {urlsplit(message.callback_url).hostname}"


@admin.register(Replay)
class ReplayAdmin(ByKey, reading.ReadOnly, reading.OfTenant):
    list_display = (
        "id", "tenant_name", "webhook", "only", "state", "looked_at", "replayed", "created_at", "ended_at",
    )  # fmt: skip
    list_filter = ("state", "only", reading.TenantFilter)
    list_select_related = ("webhook",)
    search_fields = ("webhook__url",)
    search_help_text = "A replay's id, or part of its webhook's URL."
    ordering = ("-id",)
    actions = ("cancel",)
    fields = readonly_fields = (
        "id", "tenant_name", "webhook", "since", "until", "only", "state", "looked_at", "replayed", "position",
        "created_at", "ended_at",
    )  # fmt: skip

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("webhooks.change_replay")

    @admin.action(description="Cancel the selected replays", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        canceled = 0
        for replay in queryset.filter(state=Replay.State.RUNNING):
            try:
                replays.cancel(tenant_id=replay.tenant_id, replay_id=replay.pk)
            except errors.Problem as problem:
                self.message_user(request, f"{replay}: {problem.message}", messages.WARNING)
                continue
            audit.note(request, replay, field="state", before="running", after="canceled")
            canceled += 1
        self.message_user(request, f"Canceled: {canceled}. What they had queued is sent all the same.")


@admin.register(SignatureKey)
class SignatureKeyAdmin(ByKey, reading.ReadOnly):
    """The private part is never shown."""

    list_display = ("id", "tenant", "digest", "enabled", "created_at")
    list_filter = ("enabled", reading.TenantFilter)
    list_select_related = ("tenant",)
    search_fields = ("tenant__slug",)
    search_help_text = "A key's id, or the tenant's slug."
    ordering = ("-id",)
    fields = readonly_fields = ("id", "tenant", "digest", "enabled", "public_key", "created_at")
