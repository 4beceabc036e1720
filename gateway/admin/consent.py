"""Who is written to and who must not be: found by phone number. Numbers are kept out of the audit trail."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from gateway import errors, numbers, opt_outs
from gateway.admin import audit, reading
from gateway.models import Contact, Keyword, OptOut


class ByPhone(reading.Endless):
    """Found by the whole number, or by the row's id."""

    search_fields = ("phone",)
    search_help_text = "A whole phone number with its country code, or an id."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        if key := reading.key(search_term):
            return queryset.filter(pk=key), False
        number = reading.phone(search_term)
        if number is None:
            return queryset.none(), False
        return queryset.filter(tenant_id__in=reading.everyone(), phone=number), False


@admin.register(Contact)
class ContactAdmin(ByPhone, reading.ReadOnly):
    """Contacts are their tenants': here they are read."""

    list_display = ("phone", "name", "tenant", "tags", "created_at")
    list_filter = (reading.TenantFilter,)
    list_select_related = ("tenant",)
    ordering = ("-id",)
    fields = (
        "id", "tenant", "phone", "name", "email", "language", "tags", "custom_fields", "created_at", "updated_at",
    )  # fmt: skip


class OptOutForm(forms.ModelForm[OptOut]):
    phone = forms.CharField(max_length=32, help_text="With its country code, as +14155550101.")
    sender = forms.CharField(
        required=False,
        max_length=32,
        help_text="Only messages from this sender; empty is all of the tenant's.",
    )
    reason = forms.CharField(required=False, max_length=500)

    class Meta:
        model = OptOut
        fields = ("tenant", "phone", "sender", "reason")

    def clean_phone(self) -> str:
        try:
            return numbers.normalise(self.cleaned_data["phone"])
        except errors.InvalidRecipient as error:
            raise forms.ValidationError("Not a phone number with its country code.") from error

    def clean_reason(self) -> str | None:
        return self.cleaned_data["reason"] or None


@admin.register(OptOut)
class OptOutAdmin(ByPhone, reading.ChoosesTenant, audit.Audited):
    form = OptOutForm
    veiled = frozenset({"phone"})
    list_display = ("phone", "sender", "tenant", "source", "created_at")
    list_filter = ("source", reading.TenantFilter)
    list_select_related = ("tenant",)
    ordering = ("-id",)

    def get_fields(self, request: HttpRequest, obj: OptOut | None = None) -> tuple[str, ...]:
        given = ("tenant", "phone", "sender", "reason")
        return given if obj is None else (*given, "source", "text", "inbound_id", "created_at")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # One is there or it is not.
        return False

    def save_model(self, request: HttpRequest, obj: OptOut, form: Any, change: bool) -> None:
        kept, _new = opt_outs.add(
            tenant_id=obj.tenant_id,
            phone=obj.phone,
            sender=obj.sender,
            source=OptOut.Source.ADMIN,
            reason=obj.reason,
        )
        obj.pk = kept.pk

    def delete_model(self, request: HttpRequest, obj: OptOut) -> None:
        opt_outs.remove_one(tenant_id=obj.tenant_id, opt_out_id=obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[OptOut]) -> None:
        for row in queryset:
            self.delete_model(request, row)


@admin.register(Keyword)
class KeywordAdmin(reading.ReadOnly):
    """Keywords are their tenants': here they are read."""

    list_display = ("keyword", "match", "action", "tenant", "updated_at")
    list_filter = ("action", reading.TenantFilter)
    list_select_related = ("tenant",)
    search_fields = ("=keyword", "tenant__slug")
    ordering = ("keyword",)
    fields = (
        "id", "tenant", "keyword", "match", "action", "reply_text", "callback_url", "created_at", "updated_at",
    )  # fmt: skip
