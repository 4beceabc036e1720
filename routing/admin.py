"""Operators and routes in the admin; what is changed here takes effect without a restart."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest
from django.utils.html import format_html_join

from gateway import sealing
from gateway.admin import audit, reading
from gateway.models import Tenant
from routing import circuit, operators, provisioning
from routing.errors import OperatorSettingsError
from routing.models import Operator, OperatorState, ParkedReceipt, Route

HOUR = 3600.0


class _Unshown(forms.Textarea):
    """Never renders what was typed into it."""

    def format_value(self, value: Any) -> str:
        return ""


class _JsonField(forms.JSONField):
    """JSON of one kind that a database can hold; what was refused is shown again as it was typed."""

    kind: type[dict[str, Any]] | type[list[Any]] = dict
    form = "a JSON object: {…}"

    def bound_data(self, data: Any, initial: Any) -> Any:
        return InvalidJSONInput(data or "")

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, InvalidJSONInput) else json.dumps(value or self.kind(), indent=2)

    def to_python(self, value: Any) -> Any:
        try:
            given = super().to_python(value)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError("It has a number too long, or goes too deep.") from error
        given = self.kind() if given is None else given
        if not isinstance(given, self.kind):
            raise forms.ValidationError(f"It must be {self.form}.")
        try:
            text = json.dumps(given, allow_nan=False, ensure_ascii=False).encode()
        except ValueError as error:
            raise forms.ValidationError("It has what JSON in a database cannot hold.") from error
        if b"\\u0000" in text:
            raise forms.ValidationError("A text in it has a null character.")
        return given


class _WindowsField(_JsonField):
    kind = list
    form = "a JSON list: [{…}, …]"


class OperatorForm(forms.ModelForm[Operator]):
    transport = forms.ChoiceField(
        choices=[(name, name) for name in settings.TRANSPORTS if name in provisioning.TRANSPORTS]
    )
    channel = forms.ChoiceField(choices=[(name, name) for name in provisioning.CHANNELS])
    id_mode = forms.ChoiceField(
        choices=[(name, name) for name in provisioning.ID_MODES],
        help_text="How ids in receipts relate to ids in answers.",
    )
    rate = forms.FloatField(required=False, help_text="Parts per second over all workers; empty is no limit.")
    settings = _JsonField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 12, "cols": 80}),
        help_text="A JSON object of what the transport takes: host, port, system_id, window … for smpp; and breaker "
        "(true or false), no_receipts_minutes and slow_seconds (null is never) for routing.",
    )
    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Kept sealed and never shown. Leave empty to keep the one that is there.",
    )
    other_secrets = forms.CharField(
        required=False,
        widget=_Unshown(attrs={"rows": 3, "cols": 80, "autocomplete": "off"}),
        help_text="One a line, name=value; a name without a value is removed. Leave empty to keep them.",
    )

    class Meta:
        model = Operator
        fields = (
            "slug", "name", "transport", "channel", "active", "rate", "id_mode", "on_unknown_outcome", "settings",
        )  # fmt: skip

    def clean_other_secrets(self) -> dict[str, str]:
        lines = [line for line in self.cleaned_data["other_secrets"].splitlines() if line.strip()]
        if any("=" not in line or line.startswith("=") for line in lines):
            raise forms.ValidationError("Each line must be name=value.")
        return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # ModelForm's own step, which fills the instance
        if self.errors:
            return
        try:
            self._seal()
            provisioning.check(self.instance)
        except provisioning.ProvisioningError as error:
            about = "settings" if isinstance(error.__cause__, OperatorSettingsError) else None
            self.add_error(about, str(error))
        except sealing.SealingError as error:
            self.add_error(None, f"The secrets that are there do not open: {error}.")

    def _seal(self) -> None:
        """Put the new secrets over those that are there."""
        given = dict(self.cleaned_data["other_secrets"])
        if self.cleaned_data["password"]:
            given["password"] = self.cleaned_data["password"]
        if not given:
            return
        kept = {**operators.settings_of(self.instance).secrets, **given}
        plain = json.dumps({name: value for name, value in kept.items() if value})
        self.instance.secrets = sealing.seal(plain.encode(), context=sealing.CONTEXT_OPERATOR_SECRETS)


class RouteForm(forms.ModelForm[Route]):
    tenant_id = forms.TypedChoiceField(
        required=False, coerce=int, empty_value=None, label="Tenant", help_text="Empty is every tenant."
    )
    channel = forms.ChoiceField(choices=[(name, name) for name in provisioning.CHANNELS])
    # (BaseForm's own `prefix` is another thing: declared fields do not become attributes.)
    prefix = forms.CharField(  # type: ignore[assignment]
        required=False, max_length=16, help_text="First digits of the number, country code first: 33, 1415."
    )
    country = forms.CharField(required=False, max_length=2, help_text="Of the recipient: FR.")
    network = forms.CharField(required=False, max_length=6, help_text="MCC, or MCC and MNC: 208, 20801.")
    tag = forms.CharField(required=False, max_length=100, help_text="The metadata member tag.")
    windows = _WindowsField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 40}),
        help_text='When it counts: [{"days": [1, 2], "from": "08:00", "to": "20:00", "zone": "Europe/Paris"}]. '
        "An empty list is always.",
    )
    priority = forms.IntegerField(initial=0, min_value=-1_000_000, max_value=1_000_000)
    weight = forms.IntegerField(initial=1, min_value=1, max_value=1_000_000)

    class Meta:
        model = Route
        fields = (
            "operator", "tenant_id", "channel", "prefix", "country", "network", "sender", "tag", "priority", "cost",
            "weight", "windows", "active",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "tenant_id" in self.fields:
            everyone = Tenant.objects.order_by("name").values_list("pk", "name")
            self.fields["tenant_id"].choices = [("", "—"), *everyone]  # type: ignore[attr-defined]

    def clean_prefix(self) -> str:
        return str(self.cleaned_data["prefix"]).removeprefix("+")

    def clean_country(self) -> str:
        return str(self.cleaned_data["country"]).upper()

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # ModelForm's own step, which fills the instance
        if self.errors:
            return
        try:
            provisioning.check_route(self.instance)
        except provisioning.ProvisioningError as error:
            text = str(error)
            self.add_error(error.field, f"{text[0].upper()}{text[1:]}.")
            return
        # One that is made on the same page has no number and no routes yet.
        if self.instance.operator_id and provisioning.same_routes(self.instance).exists():
            self.add_error(None, "That route is there already.")


class _Routes(forms.BaseInlineFormSet[Route, Operator, forms.ModelForm[Route]]):
    """Has a prefix, which Django would take from the name of the relation back: there is none."""

    @classmethod
    def get_default_prefix(cls) -> str:
        return "routes"

    def clean(self) -> None:
        super().clean()
        seen = set()
        for form in self.forms:
            given = getattr(form, "cleaned_data", None)
            if not given or given.get("DELETE") or form.errors:
                continue
            selects = tuple(json.dumps(given.get(name), default=str) for name in provisioning.SELECTS)
            if selects in seen:
                form.add_error(None, "That route is there twice.")
            seen.add(selects)


class RouteInline(admin.TabularInline[Route, Operator]):
    model = Route
    form = RouteForm
    formset = _Routes
    extra = 0
    fields = (
        "tenant_id", "channel", "prefix", "country", "network", "sender", "tag", "priority", "cost", "weight",
        "windows", "active",
    )  # fmt: skip


def _is_ours(operator: Operator | None) -> bool:
    """Whether the operator is one of the platform's own, numbered below zero."""
    return operator is not None and operator.pk is not None and operator.pk < 0


# What an operator's page shows besides its form.
_SHOWN = ("secrets_kept", "id_mode_seen", "breaker", "workers")


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

    @admin.display(description="Workers")
    def workers(self, operator: Operator) -> str:
        rows = ((state.worker, _shown(state)) for state in _states(operator))
        return format_html_join("", "<div><b>{}</b>: {}</div>", rows) or "No worker has spoken lately."

    @admin.display(description="Secrets kept")
    def secrets_kept(self, operator: Operator) -> str:
        """Their names."""
        try:
            return ", ".join(sorted(operators.settings_of(operator).secrets)) or "none"
        except sealing.SealingError as error:
            return f"They do not open: {error}"

    def has_change_permission(self, request: HttpRequest, obj: Operator | None = None) -> bool:
        return not _is_ours(obj) and super().has_change_permission(request, obj)

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
        self._break(request, queryset, reason="passed over by an administrator")

    @admin.action(description="Trust again at once", permissions=["change"])
    def trust(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        self._break(request, queryset, reason="")

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


def _shown(state: OperatorState) -> str:
    told = {name: value for name, value in state.detail.items() if name != "minute"}
    details = [f"{name} {value}" for name, value in told.items() if value not in (None, "")]
    if minute := state.detail.get("minute"):
        details.append(f"{minute['failed']} of {minute['tried']} failed in the last minute")
    paused = [f"paused until {state.paused_until:%H:%M:%S}"] if state.paused_until else []
    return ", ".join(["up" if state.up else "down", *paused, *details])


@admin.register(Route)
class RouteAdmin(audit.Audited):
    form = RouteForm
    list_display = (
        "operator", "channel", "prefix", "country", "network", "tenant_name", "sender", "tag", "priority", "cost",
        "weight", "hours", "active",
    )  # fmt: skip
    ordering = ("operator__slug", "channel", "prefix", "-priority", "id")
    list_filter = ("operator", "channel", "active")
    list_select_related = ("operator",)
    search_fields = ("prefix", "sender", "tag", "network", "operator__slug")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        named = Tenant.everything.filter(pk=OuterRef("tenant_id")).values("name")
        rows: QuerySet[Any] = super().get_queryset(request).annotate(owner=Subquery(named))
        return rows

    @admin.display(description="Tenant")
    def tenant_name(self, row: Any) -> str:
        return "every" if row.tenant_id is None else row.owner or str(row.tenant_id)

    @admin.display(description="Hours")
    def hours(self, route: Route) -> str:
        return "always" if not route.windows else f"{len(route.windows)} windows"

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "operator":
            kwargs["queryset"] = Operator.objects.filter(pk__gt=0).order_by("slug")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Route | None = None) -> bool:
        return not _leads_to_ours(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Route | None = None) -> bool:
        return not _leads_to_ours(obj) and super().has_delete_permission(request, obj)


def _leads_to_ours(route: Route | None) -> bool:
    return route is not None and _is_ours(route.operator)


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
