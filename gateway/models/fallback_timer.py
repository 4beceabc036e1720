from django.db import models


class FallbackTimer(models.Model):
    """When a message that is not delivered by then goes on to the next step of its fallback chain."""

    message_id = models.UUIDField(primary_key=True)
    tenant_id = models.BigIntegerField()
    due_at = models.DateTimeField()

    class Meta:
        indexes = [
            # The relay's sweep.
            models.Index(fields=["due_at"], name="fallback_timer_due")
        ]
