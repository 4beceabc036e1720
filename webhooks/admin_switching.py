"""How a webhook's endpoint does, and what the platform's people may do about it: switch it, replay what failed."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import formats
from django.views.decorators.http import require_POST

from gateway import errors
from gateway.admin import audit
from webhooks import breaker, destinations, holding, replays, subscriptions
from webhooks.models import DueCallback, Endpoint, Replay, Webhook
from webhooks.models.due_callback import HELD

TERMS = ("failover_url", "batch_max_events", "batch_max_delay_ms", "ordered", "disabled_at")
# Fields of the form that tell how the endpoint does.
STATE = ("circuit", "failing", "failures", "failover_circuit", "waiting", "held")
REASON = "Switched off by the platform."
# Callbacks that are counted at most.
_MOST_COUNTED = 1000


class SinceForm(forms.Form):
    since = forms.DateTimeField(
        label="Failed since (UTC)", widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )


class Switched(admin.ModelAdmin[Any]):
    """Of webhooks; all that it does needs the permission to change them, and is in the trail."""

    actions = ("switch_on", "switch_off")
    change_form_template = "admin/webhooks/webhook_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        learned = Endpoint.objects.filter(pk=OuterRef("pk"))
        columns = ("opened_at", "failing_since", "failures")
        rows: QuerySet[Any] = super().get_queryset(request)
        told: QuerySet[Any] = rows.annotate(**{name: Subquery(learned.values(name)) for name in columns})
        return told

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        return (*super().get_fields(request, obj), *TERMS, *STATE)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        return (*super().get_readonly_fields(request, obj), *TERMS, *STATE)

    @admin.display(description="Circuit")
    def circuit(self, webhook: Any) -> str:
        opened = webhook.opened_at
        return "closed" if opened is None else f"open since {formats.localize(opened)}"

    @admin.display(description="Failing since", ordering="failing_since")
    def failing(self, webhook: Any) -> str:
        since = webhook.failing_since
        return "—" if since is None else formats.localize(since)

    @admin.display(description="Failures since")
    def failures(self, webhook: Any) -> str:
        return str(webhook.failures or 0)

    @admin.display(description="Failover's circuit")
    def failover_circuit(self, webhook: Webhook) -> str:
        if webhook.failover_url is None:
            return "—"
        return breaker.circuit(
            Endpoint.objects.filter(pk=destinations.of_failover(webhook_id=webhook.pk)).first()
        )

    @admin.display(description="Callbacks waiting")
    def waiting(self, webhook: Webhook) -> str:
        return _counted(_due(webhook).filter(next_attempt_at__lt=HELD))

    @admin.display(description="Callbacks held")
    def held(self, webhook: Webhook) -> str:
        return _counted(_due(webhook).filter(next_attempt_at=HELD))

    def has_switch_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("webhooks.change_webhook")

    @admin.action(description="Switch the selected webhooks on again", permissions=["switch"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._switch(request, queryset.filter(active=False), on=True)

    @admin.action(description="Switch the selected webhooks off", permissions=["switch"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._switch(request, queryset.filter(active=True), on=False)

    def _switch(self, request: HttpRequest, webhooks: Iterable[Webhook], *, on: bool) -> None:
        switched = 0
        for webhook in webhooks:
            try:
                _set(webhook, on=on)
            except errors.Problem as problem:
                self.message_user(request, f"{webhook}: {problem.message}", messages.ERROR)
                continue
            audit.note(request, webhook, field="active", before=not on, after=on)
            switched += 1
        self.message_user(request, f"Switched {'on' if on else 'off'}: {switched}.")

    def get_urls(self) -> list[URLPattern]:
        views = {"on": self._on_view, "off": self._off_view, "replay": self._replay_view}
        ours = [
            path(
                f"<uuid:webhook_id>/{name}/",
                self.admin_site.admin_view(require_POST(view)),
                name=f"webhooks_webhook_{name}",
            )
            for name, view in views.items()
        ]
        return [*ours, *super().get_urls()]

    def _on_view(self, request: HttpRequest, webhook_id: Any) -> HttpResponse:
        webhook = self._asked(request, webhook_id)
        self._switch(request, [] if webhook.active else [webhook], on=True)
        return _back(webhook)

    def _off_view(self, request: HttpRequest, webhook_id: Any) -> HttpResponse:
        webhook = self._asked(request, webhook_id)
        self._switch(request, [webhook] if webhook.active else [], on=False)
        return _back(webhook)

    def _replay_view(self, request: HttpRequest, webhook_id: Any) -> HttpResponse:
        webhook = self._asked(request, webhook_id)
        form = SinceForm(request.POST)
        if not form.is_valid():
            self.message_user(request, "Say since when, in UTC, as 2026-07-01 12:00.", messages.ERROR)
            return _back(webhook)
        since = form.cleaned_data["since"].replace(tzinfo=UTC)
        try:
            _replay(webhook, since)
        except errors.Problem as problem:
            sentences = [detail.message for detail in problem.details] or [problem.message]
            self.message_user(request, " ".join(sentences), messages.ERROR)
            return _back(webhook)
        audit.note(request, webhook, field="replay", before=None, after=since)
        self.message_user(request, "The replay has begun: what failed since then is sent again.")
        return _back(webhook)

    def _asked(self, request: HttpRequest, webhook_id: Any) -> Webhook:
        if not self.has_switch_permission(request):
            raise PermissionDenied
        return get_object_or_404(Webhook, pk=webhook_id)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["can_switch"] = self.has_switch_permission(request)
        context["since_form"] = SinceForm()
        return super().render_change_form(request, context, *args, **kwargs)


def _set(webhook: Webhook, *, on: bool) -> None:
    if on:
        subscriptions.change(webhook=webhook, members={"active": True})
    else:
        holding.disable(webhook_id=webhook.pk, reason=REASON)


def _replay(webhook: Webhook, since: datetime) -> None:
    replays.start(
        tenant_id=webhook.tenant_id,
        webhook=webhook,
        since=since,
        until=datetime.now(tz=UTC),
        only=Replay.Only.FAILED.value,
    )


def _due(webhook: Webhook) -> QuerySet[DueCallback, DueCallback]:
    """What a webhook has on its way, at its failover too."""
    both = [webhook.pk, destinations.of_failover(webhook_id=webhook.pk)]
    return DueCallback.objects.for_tenant(webhook.tenant_id).filter(endpoint__in=both)


def _counted(rows: QuerySet[Any, Any]) -> str:
    count = rows[: _MOST_COUNTED + 1].count()
    return str(count) if count <= _MOST_COUNTED else f"more than {_MOST_COUNTED}"


def _back(webhook: Webhook) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:webhooks_webhook_change", args=[webhook.pk]))
