"""The form of an operator. What it lets pass its transport can be started with."""

import json

from django import forms
from django.conf import settings

from gateway import sealing
from routing import operators, provisioning
from routing.admin import inputs
from routing.models import Operator


class OperatorForm(forms.ModelForm[Operator]):
    transport = forms.ChoiceField(
        choices=[(name, name) for name in settings.TRANSPORTS if name in provisioning.TRANSPORTS]
    )
    channel = forms.ChoiceField(choices=[(name, name) for name in provisioning.CHANNELS])
    id_mode = forms.ChoiceField(
        choices=[(name, name) for name in provisioning.ID_MODES],
        help_text="How ids in receipts relate to ids in answers; auto finds it out by itself. Case and leading zeros "
        "never matter.",
    )
    rate = forms.FloatField(required=False, help_text="Parts per second over all workers; empty is no limit.")
    settings = inputs.JsonField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 12, "cols": 80}),
        help_text="A JSON object of what the transport takes: host, port, system_id, window … for smpp; and for "
        "routing breaker (true or false), no_receipts_minutes and slow_seconds (null is never), and quiet_hours: "
        '{"windows": ["21:00-08:00"], "days": ["mon", "tue"], "timezone": "Asia/Kolkata" or "recipient", '
        '"exempt": ["high"], "elsewhere": false}.',
    )
    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Kept sealed and never shown. Leave empty to keep the one that is there.",
    )
    other_secrets = forms.CharField(
        required=False,
        widget=inputs.Unshown(attrs={"rows": 3, "cols": 80, "autocomplete": "off"}),
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
            self.add_error(error.field if error.field in self.fields else None, str(error))
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
