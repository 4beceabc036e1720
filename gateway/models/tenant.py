from typing import Any

from django.db import models, transaction


class _RealTenants(models.Manager["Tenant"]):
    def get_queryset(self) -> models.QuerySet["Tenant"]:
        return super().get_queryset().filter(pk__gt=0)


class Tenant(models.Model):
    """A customer of the platform; whatever it owns carries its id.

    Each has a twin, its sandbox, whose id is the same number below zero: nothing of it can be taken for the
    tenant's own, wherever an id gets to, and no table needs to be asked.
    """

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=220)
    active = models.BooleanField(default=True)
    # Signs callbacks to a message's own callbackUrl (Standard Webhooks), sealed.
    callback_secret = models.BinaryField()
    # The one before signs beside it until its moment.
    previous_callback_secret = models.BinaryField(null=True)
    previous_callback_secret_until = models.DateTimeField(null=True)
    # Most messages that may wait at once; null is the platform's setting.
    backlog_limit = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    # Without the sandboxes.
    objects = _RealTenants()
    everything = models.Manager["Tenant"]()

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the tenant, and its sandbox like it; but each has its secret rotated by itself."""
        with transaction.atomic():
            super().save(*args, **kwargs)
            if self.pk > 0:
                shared = {
                    "slug": f"{self.slug}{SANDBOX_SLUG}",
                    "name": f"{self.name} (sandbox)",
                    "active": self.active,
                    "backlog_limit": self.backlog_limit,
                }
                Tenant.everything.update_or_create(
                    pk=sandbox_of(self.pk),
                    defaults=shared,
                    create_defaults=shared | {"callback_secret": self.callback_secret},
                )

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Remove the tenant and its sandbox."""
        if self.pk > 0:
            Tenant.everything.filter(pk=sandbox_of(self.pk)).delete()
        return super().delete(*args, **kwargs)


SANDBOX_SLUG = "_sandbox"


def sandbox_of(tenant_id: int) -> int:
    """The id of a tenant's sandbox."""
    return -abs(tenant_id)


def is_sandbox(tenant_id: int) -> bool:
    """Whether the id is a sandbox's: what it owns is fake and reaches no real operator."""
    return tenant_id < 0
