"""Who changed what from what to what: Django's log of the admin, with the values in it.

An entry's message is Django's own JSON and a last line of ours, which it passes over: ``{"values": [{"field",
"from", "to"}]}``, texts. Of secrets and of personal data it says only that they changed.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.forms.formsets import BaseFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from gateway.admin import reading

# Characters of a value that an entry keeps.
_LONGEST = 500
VEILED = "(changed)"


class Audited(admin.ModelAdmin[Any]):
    """Every change is logged with its values.

    ``veiled`` names the fields whose values are not: secrets, phone numbers, texts.
    """

    veiled: frozenset[str] = frozenset()

    def construct_change_message(
        self, request: HttpRequest, form: forms.Form, formsets: Iterable[BaseFormSet[Any]], add: bool = False
    ) -> list[dict[str, Any]]:
        message: list[dict[str, Any]] = super().construct_change_message(request, form, formsets, add)
        values = [self._value(form, name, add=add) for name in form.changed_data]
        for row in (row for formset in formsets or () for row in formset.forms if row.has_changed()):
            values += self._of_row(row)
        return [*message, {"values": values}] if values else message

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        try:
            for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.model._meta.pk.to_python(key)
        except ValidationError:
            self.message_user(request, "There is nothing of that kind.", messages.WARNING)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **kwargs)

    def _value(self, form: forms.Form, name: str, *, add: bool) -> dict[str, str]:
        # A password's form says "password" of the two fields that it has.
        label = str(form[name].label) if name in form.fields else name
        if name in self.veiled or name not in form.fields:
            return {"field": label, "from": "", "to": VEILED}
        before = "" if add else text(form.get_initial_for_field(form.fields[name], name))
        return {"field": label, "from": before, "to": text(form.cleaned_data.get(name))}

    def _of_row(self, form: Any) -> list[dict[str, str]]:
        """What changed in one row of an inline table."""
        which = f"{form.instance._meta.verbose_name} {form.instance}"
        if form.cleaned_data.get("DELETE"):
            return [{"field": which, "from": "there", "to": "deleted"}]
        values = [self._value(form, name, add=form.instance._state.adding) for name in form.changed_data]
        return [{**value, "field": f"{which}, {value['field']}"} for value in values]


def note(request: HttpRequest, obj: Model, *, field: str, before: Any, after: Any) -> None:
    """Log that the request's user changed a field of an object."""
    values = [{"field": field, "from": text(before), "to": text(after)}]
    LogEntry.objects.log_actions(
        user_id=request.user.pk or 0,
        queryset=[obj],
        action_flag=CHANGE,
        change_message=[{"changed": {"fields": [field]}}, {"values": values}],
        single_object=True,
    )


def text(value: Any) -> str:
    """A value for an entry, cut to a bound."""
    if value is None:
        shown = ""
    elif isinstance(value, dict):
        shown = json.dumps(value, sort_keys=True)
    elif isinstance(value, datetime):
        shown = value.astimezone(UTC).isoformat(timespec="seconds")
    elif isinstance(value, QuerySet | list | tuple | set):
        shown = ", ".join(sorted(str(each) for each in value))
    else:
        shown = str(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


@admin.register(LogEntry)
class LogEntryAdmin(reading.ReadOnly, reading.Endless):
    """The trail. Nobody adds to it here, changes it or deletes from it."""

    list_display = ("action_time", "user", "action_flag", "content_type", "object_repr", "changes")
    list_filter = ("action_flag", ("content_type", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "content_type")
    search_fields = ("object_repr", "object_id", "change_message", "user__username")
    search_help_text = "User, object, or any text of the change."
    ordering = ("-id",)
    fields = readonly_fields = (
        "action_time", "user", "action_flag", "content_type", "object_id", "object_repr", "changes",
    )  # fmt: skip

    @admin.display(description="Changes")
    def changes(self, entry: LogEntry) -> SafeString | str:
        """A line a field, from what to what; Django's own sentence where no values were kept."""
        values = list(_values(entry.change_message))
        if not values:
            return entry.get_change_message()
        lines = ((value["field"], value["from"] or "—", value["to"] or "—") for value in values)
        return format_html_join("", "<div><b>{}</b>: {} → {}</div>", lines)


def _values(message: str) -> Iterable[dict[str, str]]:
    try:
        lines = json.loads(message)
    except ValueError:
        return
    for line in lines if isinstance(lines, list) else []:
        yield from line.get("values", [])
