"""Operators: how they are set up, how they do, and passing one over."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from gateway import sealing
from gateway.admin import audit
from routing import circuit, operators, quiet
from routing.admin.operator_form import OperatorForm
from routing.admin.routes import RouteInline, is_ours
from routing.models import Operator, OperatorState

HOUR = 3600.0
BY_HAND = "passed over by an administrator"

# What an operator's page shows besides its form.
_SHOWN = ("secrets_kept", "id_mode_seen", "breaker", "quiet_hours", "workers")


@admin.register(Operator)
class OperatorAdmin(audit.Audited):
    form = OperatorForm
    veiled = frozenset({"password", "other_secrets"})
    list_display = (
        "slug", "name", "transport", "channel", "active", "state", "breaker", "rate", "id_mode", "id_mode_seen",
        "updated_at",
    )  # fmt: skip
    list_filter = ("transport", "channel", "active")
    search_fields = ("slug", "name")
    ordering = ("slug",)
    actions = ("deactivate", "activate", "pass_over", "trust")
    inlines = (RouteInline,)
    change_form_template = "admin/routing/operator_form.html"

    def get_readonly_fields(self, request: HttpRequest, obj: Operator | None = None) -> tuple[str, ...]:
        # The queue and every message that it carried are named by the slug.
        return () if obj is None else ("slug", *_SHOWN)

    def get_fields(self, request: HttpRequest, obj: Operator | None = None) -> tuple[str, ...]:
        given = ("slug", "name", "transport", "channel", "active", "rate", "id_mode", "on_unknown_outcome")
        secrets = ("password", "other_secrets") if self.has_change_permission(request, obj) else ()
        shown = () if obj is None else _SHOWN
        return (*given, "settings", *secrets, *shown)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Operator]:
        there = _lately().filter(operator_id=OuterRef("pk")).order_by().values("operator_id")
        rows: QuerySet[Operator] = super().get_queryset(request)
        return rows.annotate(
            there=Subquery(there.annotate(of=Count("worker")).values("of")),
            up=Subquery(there.annotate(of=Count("worker", filter=Q(up=True))).values("of")),
        )

    @admin.display(description="State")
    def state(self, operator: Any) -> str:
        if not operator.there:
            return "no worker"
        return f"{'up' if operator.up else 'down'} ({operator.up} of {operator.there} workers)"

    @admin.display(description="Breaker")
    def breaker(self, operator: Operator) -> str:
        until = operator.tripped_until
        if until is None:
            return "off" if operator.settings.get("breaker") is False else "closed"
        state = f"open until {until:%H:%M:%S}" if until > datetime.now(tz=UTC) else "probing"
        return f"{state}: {operator.tripped_reason}"

    @admin.display(description="Quiet hours")
    def quiet_hours(self, operator: Operator) -> str:
        return quiet.told(given=operator.settings.get(quiet.SETTING), now=datetime.now(tz=UTC))

    @admin.display(description="Workers")
    def workers(self, operator: Operator) -> str:
        rows = ((state.worker, _shown(state), _places(state)) for state in _states(operator))
        return format_html_join("", "<div><b>{}</b>: {}{}</div>", rows) or "No worker has spoken lately."

    @admin.display(description="Secrets kept")
    def secrets_kept(self, operator: Operator) -> str:
        """Their names."""
        try:
            return ", ".join(sorted(operators.settings_of(operator).secrets)) or "none"
        except sealing.SealingError as error:
            return f"They do not open: {error}"

    def has_change_permission(self, request: HttpRequest, obj: Operator | None = None) -> bool:
        return not is_ours(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Receipts come for days after the last message.
        return False

    @admin.action(description="Deactivate the selected operators", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        self._switch(request, queryset, active=False)

    @admin.action(description="Activate the selected operators", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        self._switch(request, queryset, active=True)

    @admin.action(description="Pass over for an hour where another can carry it", permissions=["change"])
    def pass_over(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        self._break(request, queryset, reason=BY_HAND)

    @admin.action(description="Trust again at once", permissions=["change"])
    def trust(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        self._break(request, queryset, reason="")

    def get_urls(self) -> list[URLPattern]:
        ways = {"pass-over": self._pass_over_view, "trust": self._trust_view}
        own = [
            path(
                f"<int:operator_id>/{name}/",
                self.admin_site.admin_view(require_POST(view)),
                name=f"routing_operator_{name.replace('-', '_')}",
            )
            for name, view in ways.items()
        ]
        return own + super().get_urls()

    def _pass_over_view(self, request: HttpRequest, operator_id: int) -> HttpResponse:
        return self._break_one(request, operator_id, reason=BY_HAND)

    def _trust_view(self, request: HttpRequest, operator_id: int) -> HttpResponse:
        return self._break_one(request, operator_id, reason="")

    def _break_one(self, request: HttpRequest, operator_id: int, *, reason: str) -> HttpResponse:
        operator = get_object_or_404(Operator, pk=operator_id)
        if not self.has_change_permission(request, operator):
            raise PermissionDenied
        self._break(request, Operator.objects.filter(pk=operator.pk), reason=reason)
        return HttpResponseRedirect(reverse("admin:routing_operator_change", args=[operator.pk]))

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["can_break"] = self.has_change_permission(request, context.get("original"))
        return super().render_change_form(request, context, *args, **kwargs)

    def _break(self, request: HttpRequest, queryset: QuerySet[Operator], *, reason: str) -> None:
        chosen = list(queryset.filter(pk__gt=0))
        keys = [operator.pk for operator in chosen]
        if reason:
            circuit.trip(operator_ids=keys, seconds=HOUR, reason=reason)
        else:
            circuit.reset(operator_ids=keys)
        for operator in chosen:
            audit.note(
                request, operator, field="tripped_reason", before=operator.tripped_reason, after=reason
            )
        self.message_user(request, f"{'Passed over' if reason else 'Trusted again'}: {len(chosen)}.")

    def _switch(self, request: HttpRequest, queryset: QuerySet[Operator], *, active: bool) -> None:
        switched = list(queryset.filter(pk__gt=0).exclude(active=active))
        for operator in switched:
            operator.active = active
            operator.save(update_fields=["active", "updated_at"])
            audit.note(request, operator, field="active", before=not active, after=active)
        self.message_user(request, f"{'Activated' if active else 'Deactivated'}: {len(switched)}.")


def _states(operator: Operator) -> list[OperatorState]:
    return list(_lately().filter(operator_id=operator.pk).order_by("worker"))


def _lately() -> QuerySet[OperatorState]:
    """What the workers that are there said last."""
    since = datetime.now(tz=UTC) - timedelta(seconds=operators.SILENCE_SECONDS)
    return OperatorState.objects.filter(seen_at__gt=since)


def _places(state: OperatorState) -> SafeString:
    """A line for each thing that the transport tells more of, such as a bind: its phase, its last error."""
    lists = ((name, value) for name, value in state.detail.items() if isinstance(value, list))
    lines = (
        (name, number, _words(each) if isinstance(each, dict) else str(each))
        for name, several in lists
        for number, each in enumerate(several, start=1)
    )
    return format_html_join("", "<div>{} {}: {}</div>", lines)


def _words(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in told.items() if value not in (None, ""))


def _shown(state: OperatorState) -> str:
    told = {
        name: value
        for name, value in state.detail.items()
        if name != "minute" and not isinstance(value, list)
    }
    details = [_words(told)] if told else []
    if minute := state.detail.get("minute"):
        details.append(f"{minute['failed']} of {minute['tried']} failed in the last minute")
    paused = [f"paused until {state.paused_until:%H:%M:%S}"] if state.paused_until else []
    return ", ".join(["up" if state.up else "down", *paused, *details])
