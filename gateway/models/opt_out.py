from django.db import models

from gateway import ids
from gateway.models.base import TenantQuerySet
from gateway.models.tenant import Tenant


class OptOut(models.Model):
    """A recipient who does not want messages: of the tenant at all, or of one of its senders."""

    class Source(models.TextChoices):
        API = "api"
        IMPORT = "import"
        KEYWORD = "keyword"
        ADMIN = "admin"

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    phone = models.TextField()
    # Empty: whatever the sender.
    sender = models.TextField(default="", blank=True)
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.API)
    reason = models.TextField(null=True, blank=True)
    # The evidence: what the handset wrote, and the inbound message that it wrote it in.
    text = models.TextField(null=True, blank=True)
    inbound_id = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name = "opt-out"
        constraints = [
            # Also finds it at acceptance and at hand-over.
            models.UniqueConstraint(fields=["tenant", "phone", "sender"], name="opt_out_phone")
        ]
        indexes = [
            # The list, newest first.
            models.Index(fields=["tenant", "id"], name="opt_out_tenant")
        ]

    def __str__(self) -> str:
        return str(self.id)
