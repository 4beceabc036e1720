from django.contrib.postgres.fields import ArrayField
from django.db import models

from gateway import ids
from gateway.models.base import TenantQuerySet
from gateway.models.tenant import Tenant


class Template(models.Model):
    """A text with ``{{variables}}`` in one language, approved before it may be sent."""

    class Status(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        REJECTED = "rejected"

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    # BCP 47: en, pt-BR.
    language = models.CharField(max_length=35)
    channels = ArrayField(models.TextField())
    body = models.TextField()
    category = models.CharField(max_length=40)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    # Why it was rejected, for the tenant.
    reason = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            # Also finds the template that a message names.
            models.UniqueConstraint(fields=["tenant", "name", "language"], name="template_name")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.language})"
