"""Routes: of all operators, and in a table on the page of each."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest

from gateway.admin import audit
from gateway.models import Tenant
from routing import provisioning
from routing.admin import inputs
from routing.models import Operator, Route


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
    windows = inputs.WindowsField(
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


def is_ours(operator: Operator | None) -> bool:
    """Whether the operator is one of the platform's own, numbered below zero."""
    return operator is not None and operator.pk is not None and operator.pk < 0


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
    return route is not None and is_ours(route.operator)
