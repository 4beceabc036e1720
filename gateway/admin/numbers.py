"""Numbers that handsets write to, and whose they are."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from gateway import numbers_owned
from gateway.admin import audit, reading
from gateway.models import Number
from gateway.numbers_owned import NumberError


class NumberForm(forms.ModelForm[Number]):
    number = forms.CharField(max_length=64, help_text="As +14155550100, 4242 or a name.")
    channel = forms.ChoiceField(choices=[(name, name) for name in numbers_owned.CHANNELS])
    keyword = forms.CharField(
        required=False,
        max_length=64,
        help_text="Of a shared number: what its texts are, or begin with. Empty is whatever no other keyword takes.",
    )
    operator = forms.SlugField(
        required=False,
        max_length=63,
        help_text="The slug of the only operator that it counts for; empty is every.",
    )

    class Meta:
        model = Number
        fields = ("tenant", "number", "channel", "keyword", "operator")

    def clean_number(self) -> str:
        return _checked(numbers_owned.written, self.cleaned_data["number"])

    def clean_keyword(self) -> str:
        return _checked(numbers_owned.word, self.cleaned_data["keyword"])


def _checked(rule: Any, given: str) -> str:
    try:
        return str(rule(given))
    except NumberError as error:
        raise forms.ValidationError(f"{str(error).capitalize()}.") from error


@admin.register(Number)
class NumberAdmin(reading.ChoosesTenant, audit.Audited):
    """A number changes hands by being removed and added: what it brought stays whose it was."""

    form = NumberForm
    list_display = ("number", "channel", "keyword", "operator", "tenant", "created_at")
    list_filter = ("channel", reading.TenantFilter)
    list_select_related = ("tenant",)
    search_fields = ("number", "=keyword", "tenant__slug")
    search_help_text = "A number's digits without its plus, a keyword, or a tenant."
    ordering = ("number", "keyword", "id")
    list_per_page = 50
    fields = ("tenant", "number", "channel", "keyword", "operator")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
