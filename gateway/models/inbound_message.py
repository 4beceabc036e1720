from django.db import models

from gateway import ids
from gateway.models.base import TenantQuerySet


class InboundMessage(models.Model):
    """What a handset sent to one of our numbers, as the operator gave it."""

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    # Whose number it came to; null while nobody's.
    tenant_id = models.BigIntegerField(null=True)
    operator = models.TextField()
    channel = models.TextField(db_default="sms", default="sms")
    sender = models.TextField()
    recipient = models.TextField()
    text = models.TextField()
    # The operator's own fields, bytes as hex.
    raw = models.JSONField()
    received_at = models.DateTimeField()
    # The keyword that it matched, and what was done about it.
    keyword = models.TextField(null=True)
    action = models.TextField(null=True)
    # The tenant's last message to the handset, which this may answer.
    in_reply_to = models.UUIDField(null=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            # A tenant's inbox, newest first.
            models.Index(fields=["tenant_id", "id"], name="inbound_message_tenant")
        ]

    def __str__(self) -> str:
        return str(self.id)
