from django.contrib.postgres.indexes import GinIndex
from django.db import models

from gateway import ids, statuses
from gateway.models.base import TenantQuerySet


class Message(models.Model):
    """What a tenant asked for. Partitioned by the day of its key; ``status`` is written by lifecycle alone."""

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    tenant_id = models.BigIntegerField()
    batch_id = models.UUIDField(null=True)
    client_message_id = models.TextField(null=True)
    channel = models.TextField()
    recipient = models.TextField()
    sender = models.TextField(null=True)
    # What the handset shows: plain text, or a template's filled in. `content` holds the template or the media.
    text = models.TextField(null=True)
    content = models.JSONField(null=True)
    encoding = models.TextField(null=True)
    parts = models.SmallIntegerField()
    priority = models.SmallIntegerField(default=1)
    metadata = models.JSONField(null=True)
    callback_url = models.TextField(null=True)
    fallback = models.JSONField(null=True)
    send_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    validity_seconds = models.IntegerField(null=True)
    created_at = models.DateTimeField()

    # ISO 3166-1 alpha-2 of the recipient.
    country = models.TextField(null=True)
    # A reply that consent rules ask for: sent to those who opted out too.
    exempt = models.BooleanField(db_default=False, default=False)
    # How many steps of the fallback chain have been taken; 0 is the message as it was asked for.
    fallback_step = models.SmallIntegerField(db_default=0, default=0)

    status = models.TextField(choices=[(status, status) for status in statuses.Status])
    # `status/operator` as it was before the last move: what the move's transaction takes off the tallies.
    previous = models.TextField(null=True)
    # How many events the message has; the next one's sequence is one more.
    sequence = models.SmallIntegerField(default=1)
    error_code = models.TextField(null=True)
    # The slug of the operator that carries it, or carried it last.
    operator = models.TextField(null=True)
    sent_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            # The list of a tenant's messages, newest first.
            models.Index(fields=["tenant_id", "id"], name="message_tenant"),
            # GET /v1/messages?to=…: who got what, the support's question.
            models.Index(fields=["tenant_id", "recipient", "id"], name="message_recipient"),
            # GET /v1/messages?clientMessageId=…
            models.Index(
                fields=["tenant_id", "client_message_id"],
                name="message_client_id",
                condition=models.Q(client_message_id__isnull=False),
            ),
            # GET /v1/messages?metadata.<key>=…
            GinIndex(
                fields=["metadata"],
                name="message_metadata",
                opclasses=["jsonb_path_ops"],
                condition=models.Q(metadata__isnull=False),
            ),
            # GET /v1/batches/{id}.
            models.Index(
                fields=["batch_id"], name="message_batch", condition=models.Q(batch_id__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)
