"""API keys are issued, narrowed and revoked here. A key and its secret are shown once."""

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from gateway import keys
from gateway.admin import audit, once, reading
from gateway.models import ApiKey
from gateway.models.api_key import PERMISSIONS


class NetworksField(forms.CharField):
    """Address ranges, one a line."""

    widget = forms.Textarea(attrs={"rows": 4, "cols": 50})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]  # the column is an array
        lines = value if isinstance(value, list) else (super().to_python(value) or "").splitlines()
        return [_network(line.strip()) for line in lines if line.strip()]

    def run_validators(self, value: Any) -> None:
        super().run_validators("\n".join(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return self.to_python(data) != list(initial or [])
        except forms.ValidationError:
            return True


def _network(line: str) -> str:
    try:
        return str(ip_network(line))
    except ValueError as error:
        raise forms.ValidationError(f"Not an address or range: {error}") from error


class KeyForm(forms.ModelForm[ApiKey]):
    permissions = forms.MultipleChoiceField(
        choices=[(name, name) for name in PERMISSIONS], widget=forms.CheckboxSelectMultiple
    )
    allowed_networks = NetworksField(
        required=False, help_text="One a line, as 192.0.2.0/24 or 2001:db8::/32. None: from anywhere."
    )
    rate = forms.FloatField(
        required=False, help_text="Requests per second over all processes; empty is the platform's."
    )
    burst = forms.IntegerField(
        required=False, help_text="Requests at once; empty is a second's worth of the rate."
    )

    class Meta:
        model = ApiKey
        fields = ("tenant", "name", "permissions", "allowed_networks", "rate", "burst", "expires_at")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        try:
            keys.check(
                permissions=given.get("permissions", []),
                rate=given.get("rate"),
                burst=given.get("burst"),
                expires_at=given.get("expires_at") if "expires_at" in self.changed_data else None,
            )
            if "name" in given:
                keys.check_name(given["name"])
        except keys.IssueError as error:
            self.add_error(None, str(error))
        return given


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("good", "Good"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() == "revoked":
            return queryset.exclude(revoked_at=None)
        expired = Q(expires_at__lte=datetime.now(tz=UTC))
        left = queryset.filter(revoked_at=None)
        return {"good": left.exclude(expired), "expired": left.filter(expired)}.get(self.value() or "")


@admin.register(ApiKey)
class ApiKeyAdmin(reading.ChoosesTenant, audit.Audited, once.ShowsOnce):
    form = KeyForm
    list_display = ("name", "tenant", "shown", "state", "rate", "burst", "expires_at", "last_used_at")
    list_filter = (StateFilter, reading.TenantFilter)
    list_select_related = ("tenant",)
    search_fields = ("name", "prefix", "tenant__slug", "tenant__name")
    search_help_text = "Name, the key's first characters, or tenant."
    ordering = ("-id",)
    actions = ("revoke",)
    change_form_template = "admin/gateway/key_form.html"

    _fixed = ("tenant", "name", "shown", "state", "revoked_at", "last_used_at", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return () if obj is None else self._fixed

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        editable = ("permissions", "allowed_networks", "rate", "burst", "expires_at")
        if obj is None:
            return ("tenant", "name", *editable)
        return (*self._fixed[:4], *editable, *self._fixed[4:])

    @admin.display(description="Key")
    def shown(self, key: ApiKey) -> str:
        return f"{key.prefix}…"

    @admin.display(description="State")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at:
            return "revoked"
        expired = key.expires_at is not None and key.expires_at <= datetime.now(tz=UTC)
        return "expired" if expired else "good"

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            keys.forget()
            return
        api_key, api_secret = keys.issue(
            tenant=obj.tenant,
            name=obj.name,
            permissions=obj.permissions,
            allowed_networks=obj.allowed_networks,
            rate=obj.rate,
            burst=obj.burst,
            expires_at=obj.expires_at,
        )
        obj.pk = ApiKey.objects.get(fingerprint=keys.fingerprint(api_key)).pk
        obj.prefix = api_key[: keys.SHOWN]
        self.show_once(request, [("apiKey", api_key), ("apiSecret", api_secret)])

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        revoked = obj is not None and obj.revoked_at is not None
        return not revoked and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Revoked ones tell who could send when.
        return False

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        good = list(queryset.filter(revoked_at=None))
        for key in good:
            self._revoke(request, key)
        self.message_user(request, f"Revoked: {len(good)}. They are refused within two seconds.")

    def _revoke(self, request: HttpRequest, key: ApiKey) -> None:
        now = datetime.now(tz=UTC)
        keys.revoke(key=key, now=now)
        audit.note(request, key, field="revoked_at", before=None, after=now)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self._revoke_view))
        ours = path("<int:key_id>/revoke/", view, name="gateway_apikey_revoke")
        return [ours, *super().get_urls()]

    def _revoke_view(self, request: HttpRequest, key_id: int) -> HttpResponse:
        key = get_object_or_404(ApiKey, pk=key_id)
        if not super().has_change_permission(request, key):
            raise PermissionDenied
        if key.revoked_at is None:
            self._revoke(request, key)
            self.message_user(request, f"{key} is revoked, and refused within two seconds.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:gateway_apikey_change", args=[key.pk]))

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["can_revoke"] = self.has_change_permission(request, kwargs.get("obj")) and kwargs.get("obj")
        return super().render_change_form(request, context, *args, **kwargs)
