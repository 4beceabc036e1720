"""Tenants are made, renamed, limited and deactivated here, and get new callback secrets; never deleted."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import slugify

from gateway import keys, tenants
from gateway.admin import audit, once
from gateway.models import Tenant


class TenantForm(forms.ModelForm[Tenant]):
    class Meta:
        model = Tenant
        fields = ("name", "slug", "active", "backlog_limit")
        help_texts = {
            "slug": "Small letters, digits and hyphens; made from the name when empty. It cannot be changed later.",
            "active": "The keys of an inactive tenant are refused within two seconds.",
            "backlog_limit": "Messages that may wait at once; empty is the platform's limit.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "slug" in self.fields:
            self.fields["slug"].required = False

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"]).strip()
        if len(name) > 200:
            raise forms.ValidationError("At most 200 characters.")
        if not name.isprintable():
            raise forms.ValidationError("Only characters that can be seen.")
        return name

    def clean_slug(self) -> str:
        slug = str(self.cleaned_data["slug"] or slugify(self.cleaned_data.get("name", ""))[:63].strip("-"))
        if not tenants.SLUG.fullmatch(slug):
            raise forms.ValidationError("Give one of small letters, digits and hyphens, at most 63.")
        return slug


@admin.register(Tenant)
class TenantAdmin(audit.Audited, once.ShowsOnce):
    form = TenantForm
    list_display = ("name", "slug", "active", "backlog_limit", "created_at")
    list_filter = ("active",)
    search_fields = ("slug", "name")
    ordering = ("name",)
    actions = ("deactivate", "activate", "rotate_callback_secret")

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        return () if obj is None else ("slug", "rotating", "created_at")

    def get_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        made = () if obj is None else ("rotating", "created_at")
        return ("name", "slug", *(() if obj is None else ("active",)), "backlog_limit", *made)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Tenant], search_term: str
    ) -> tuple[QuerySet[Tenant], bool]:
        # The fields that look for a tenant ask here, without the check of a list's own search.
        return super().get_search_results(request, queryset, search_term.replace("\0", ""))

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        if change:
            # Not what was not edited: a secret may have been rotated since the form was read.
            if form.changed_data:
                obj.save(update_fields=form.changed_data)
            keys.forget()
            return
        made, secret = tenants.create(name=obj.name, slug=obj.slug, backlog_limit=obj.backlog_limit)
        obj.pk = made.pk
        self.show_once(request, [("callbackSecret", secret)])

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # What was sent for it stays accounted for.
        return False

    @admin.action(description="Deactivate the selected tenants", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        self._switch(request, queryset, active=False)

    @admin.action(description="Activate the selected tenants", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        self._switch(request, queryset, active=True)

    @admin.display(description="Callback secret before this one")
    def rotating(self, tenant: Tenant) -> str:
        until = tenant.previous_callback_secret_until
        if until is None or until <= datetime.now(tz=UTC):
            return "none that still signs"
        return f"signs too until {until:%Y-%m-%d %H:%M} UTC"

    @admin.action(description="Rotate the callback secret of the selected tenant", permissions=["change"])
    def rotate_callback_secret(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> HttpResponse | None:
        """What the tenant may do itself; the new secret is the answer, shown this once."""
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            self.message_user(
                request, "Select one tenant: a new secret is shown only once.", level=messages.ERROR
            )
            return None
        rotated, secret = tenants.rotate_callback_secret(tenant_id=chosen[0].pk)
        audit.note(request, rotated, field="callback_secret", before="", after=audit.VEILED)
        title = f"The callback secret of {rotated} was rotated; the one before signs too for 24 hours"
        return self.shown_once(request, rotated, title=title, secrets=[("callbackSecret", secret)])

    def _switch(self, request: HttpRequest, queryset: QuerySet[Tenant], *, active: bool) -> None:
        switched = queryset.exclude(active=active)
        for tenant in switched:
            tenant.active = active
            tenant.save(update_fields=["active"])
            audit.note(request, tenant, field="active", before=not active, after=active)
        keys.forget()
        self.message_user(request, f"{'Activated' if active else 'Deactivated'}: {len(switched)}.")
