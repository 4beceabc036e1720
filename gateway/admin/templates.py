"""Templates are decided here: approved, or rejected with a reason that the tenant reads."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest

from gateway import templates
from gateway.admin import audit, reading
from gateway.models import Template

_LONGEST_REASON = 1000


class DecisionForm(forms.ModelForm[Template]):
    decision = forms.ChoiceField(
        choices=[("", "—"), ("approve", "Approve"), ("reject", "Reject")],
        required=False,
        help_text="What is rejected may be approved later, and the other way round.",
    )
    reason = forms.CharField(
        required=False,
        max_length=_LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text="For the tenant; needed to reject.",
    )

    class Meta:
        model = Template
        fields = ("reason",)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("decision") == "reject" and not (given.get("reason") or "").strip():
            self.add_error("reason", "Say why, for the tenant.")
        return given


class ReasonForm(ActionForm):
    """Beside the actions of the list."""

    reason = forms.CharField(required=False, max_length=_LONGEST_REASON, label="Reason to reject:")


@admin.register(Template)
class TemplateAdmin(audit.Audited):
    form = DecisionForm
    action_form = ReasonForm
    list_display = ("name", "language", "tenant", "category", "status", "created_at")
    list_filter = ("status", reading.TenantFilter)
    list_select_related = ("tenant",)
    search_fields = ("name", "body", "tenant__slug", "tenant__name")
    ordering = ("-id",)
    actions = ("approve", "reject")
    readonly_fields = (
        "tenant", "name", "language", "channels", "category", "body", "status", "created_at", "updated_at",
    )  # fmt: skip
    fields = (*readonly_fields, "decision", "reason")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # They are their tenants'.
        return False

    def save_model(self, request: HttpRequest, obj: Template, form: Any, change: bool) -> None:
        decision = form.cleaned_data["decision"]
        if decision:
            reason = (form.cleaned_data["reason"] or "").strip()
            self._decide(request, obj, reason=reason if decision == "reject" else None)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Nothing: a decision is logged as it is made."""

    def _decide(self, request: HttpRequest, template: Template, *, reason: str | None) -> None:
        """Reject with a reason, approve without one."""
        before = Template.objects.get(pk=template.pk).status
        if reason is None:
            templates.approve(template=template)
        else:
            templates.reject(template=template, reason=reason)
        after = "approved" if reason is None else f"rejected: {reason}"
        audit.note(request, template, field="status", before=before, after=after)

    @admin.action(description="Approve the selected templates", permissions=["change"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Template]) -> None:
        self._decide_each(request, queryset, reason=None)

    @admin.action(description="Reject the selected templates", permissions=["change"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Template]) -> None:
        reason = request.POST.get("reason", "").replace("\0", "").strip()[:_LONGEST_REASON]
        if not reason:
            self.message_user(request, "Give the reason beside the action.", messages.ERROR)
            return
        self._decide_each(request, queryset, reason=reason)

    def _decide_each(self, request: HttpRequest, queryset: QuerySet[Template], *, reason: str | None) -> None:
        for template in queryset:
            self._decide(request, template, reason=reason)
        self.message_user(request, f"{'Approved' if reason is None else 'Rejected'}: {len(queryset)}.")
