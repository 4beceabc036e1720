from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from gateway import ids
from gateway.models.base import TenantQuerySet
from gateway.models.tenant import Tenant


class Contact(models.Model):
    """Somebody that a tenant writes to, known by the phone number in E.164."""

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    phone = models.TextField()
    name = models.TextField(null=True, blank=True)
    email = models.TextField(null=True, blank=True)
    language = models.TextField(null=True, blank=True)
    tags = ArrayField(models.TextField(), default=list, blank=True)
    custom_fields = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "phone"], name="contact_phone")]
        indexes = [
            # The list, newest first.
            models.Index(fields=["tenant", "id"], name="contact_tenant"),
            # GET /v1/contacts?tag=…
            GinIndex(fields=["tags"], name="contact_tags"),
        ]

    def __str__(self) -> str:
        return str(self.id)
