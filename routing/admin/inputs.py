"""Fields of forms that hold JSON or secrets."""

import json
from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput


class Unshown(forms.Textarea):
    """Never renders what was typed into it."""

    def format_value(self, value: Any) -> str:
        return ""


class JsonField(forms.JSONField):
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


class WindowsField(JsonField):
    kind = list
    form = "a JSON list: [{…}, …]"
