from django.db import models


class IdempotencyKey(models.Model):
    """A client's id for a submission, unique a tenant for 24 hours, and what it led to."""

    pk = models.CompositePrimaryKey("tenant_id", "key")
    tenant_id = models.BigIntegerField()
    key = models.TextField()
    # BLAKE2b-128 of the canonical request: another body under the same key is a conflict.
    fingerprint = models.BinaryField()
    # The message, or the batch, that the first request made.
    resource_id = models.UUIDField()
    # The answer of a bulk call, kept whole; a single message's is read from its row.
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            # Housekeeping: keys older than a day.
            models.Index(fields=["created_at"], name="idempotency_key_age")
        ]
