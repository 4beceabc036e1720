from django.db import models

from gateway import ids
from gateway.models.base import TenantQuerySet


class Event(models.Model):
    """One line of what happened to a message, append-only. Partitioned by the day of its key."""

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    tenant_id = models.BigIntegerField()
    message_id = models.UUIDField()
    # message.accepted, message.sent, … or receipt.late, receipt.repeated and the like, which move nothing.
    type = models.TextField()
    # The status the message moved to; null where the event moved nothing.
    status = models.TextField(null=True)
    sequence = models.SmallIntegerField()
    occurred_at = models.DateTimeField()
    operator = models.TextField(null=True)
    # What the operator said, raw: `0x00000058`, `DELIVRD`.
    operator_code = models.TextField(null=True)
    error_code = models.TextField(null=True)
    data = models.JSONField(null=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            # A message's timeline.
            models.Index(fields=["message_id"], name="event_message")
        ]

    def __str__(self) -> str:
        return str(self.id)
