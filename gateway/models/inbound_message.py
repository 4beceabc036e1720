from django.db import models

from gateway import ids


class InboundMessage(models.Model):
    """What a handset sent to one of our numbers, as the operator gave it."""

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    # Whose number it came to; null while nobody's.
    tenant_id = models.BigIntegerField(null=True)
    operator = models.TextField()
    sender = models.TextField()
    recipient = models.TextField()
    text = models.TextField()
    # The operator's own fields, bytes as hex.
    raw = models.JSONField()
    received_at = models.DateTimeField()

    class Meta:
        indexes = [
            # A tenant's inbox, newest first.
            models.Index(fields=["tenant_id", "id"], name="inbound_message_tenant")
        ]
