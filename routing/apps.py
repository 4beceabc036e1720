from typing import Any

from django.apps import AppConfig
from django.apps.registry import Apps
from django.db.models.signals import post_migrate


class RoutingConfig(AppConfig):
    name = "routing"
    verbose_name = "Routing"

    def ready(self) -> None:
        from gateway import sealing
        from gateway.hooks import hooks
        from routing import fallbacks, selection
        from routing.models import Operator

        hooks.route = selection.lanes
        hooks.explain = selection.explain
        hooks.begin_with_fallback = fallbacks.begin
        sealing.register(model=Operator, column="secrets", context=sealing.CONTEXT_OPERATOR_SECRETS)
        post_migrate.connect(keep_sandbox, sender=self)


def keep_sandbox(*, using: str, apps: Apps | None = None, **_more: Any) -> None:
    """See to it that the operator of the sandboxes is there: after migrations, and after a flush.

    An operator that had its slug before there were sandboxes is renamed.
    """
    from django.apps import apps as installed

    from routing.selection import SANDBOX_OPERATOR_ID, SANDBOX_SLUG

    try:
        operators = (apps or installed).get_model("routing", "Operator")._default_manager.using(using)
    except LookupError:  # migrated back to before there were operators
        return
    if operators.filter(pk=SANDBOX_OPERATOR_ID).exists():
        return
    for namesake in operators.filter(slug=SANDBOX_SLUG):
        namesake.slug = f"{SANDBOX_SLUG}-{namesake.pk}"
        namesake.save(using=using)
    operators.create(pk=SANDBOX_OPERATOR_ID, slug=SANDBOX_SLUG, name="Sandbox", transport="sandbox")
