from django.contrib.postgres.fields import ArrayField
from django.db import models

from gateway.models.base import TenantQuerySet


class DueMessage(models.Model):
    """A message that waits to be handed to an operator: the relay's queue, one slim row each.

    It is written with the message, goes when a relay leases the message to an operator's worker, and comes
    back when that came to nothing. While it is here the message can be cancelled, expired or re-routed.
    """

    message_id = models.UUIDField(primary_key=True)
    tenant_id = models.BigIntegerField()
    # The operator that selection named when the message came: a hint that lets the relay look for work by
    # operator, so that the backlog of one that is down costs the others nothing. 0: none yet.
    lane = models.IntegerField(default=0)
    priority = models.SmallIntegerField()
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    channel = models.TextField()
    recipient = models.TextField()
    sender = models.TextField(null=True)
    parts = models.SmallIntegerField()
    # How often it has been handed over, and the operators that refused it for good.
    attempts = models.SmallIntegerField(default=0)
    refused_by = ArrayField(models.IntegerField(), default=list)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            # The relay's claim: by operator, then priority, fairly by tenant, oldest first.
            models.Index(
                fields=["lane", "priority", "tenant_id", "due_at", "message_id"], name="due_message_claim"
            ),
            # The relay's sweep of what expired while it waited.
            models.Index(
                fields=["expires_at"],
                name="due_message_expiry",
                condition=models.Q(expires_at__isnull=False),
            ),
        ]
