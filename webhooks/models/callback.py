from django.db import models

from gateway import ids
from gateway.models.base import TenantQuerySet


class State(models.TextChoices):
    OPEN = "open"  # to be tried, or to be tried again
    DELIVERED = "delivered"
    DEAD = "dead"  # given up: its schedule ran out, or its webhook is gone
    HELD = "held"  # its webhook is inactive; nothing is tried, nothing is lost


class Callback(models.Model):
    """One event on its way to one webhook or to a message's own callbackUrl. Partitioned by the day of its key.

    What is to be tried next is in the slim :class:`DueCallback`; this row is the history. None of the columns
    that change is in an index, so that its few updates stay on their page.
    """

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    tenant_id = models.BigIntegerField()
    event_id = models.UUIDField()
    message_id = models.UUIDField()
    # The webhook's id, or one of the tenant and the host of the message's callbackUrl.
    endpoint = models.UUIDField()
    type = models.TextField()
    state = models.TextField(choices=State.choices, default=State.OPEN)
    attempts = models.SmallIntegerField(default=0)
    status_code = models.SmallIntegerField(null=True)
    # When the last attempt ended.
    attempted_at = models.DateTimeField(null=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            # A message's timeline.
            models.Index(fields=["message_id"], name="callback_message"),
            # A webhook's deliveries, newest first, and their replay.
            models.Index(fields=["endpoint", "id"], name="callback_endpoint"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"
