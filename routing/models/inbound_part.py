from django.db import models


class InboundPart(models.Model):
    """One piece of a handset's long message, until the others are here or are given up."""

    id = models.BigAutoField(primary_key=True)
    operator_id = models.IntegerField()
    sender = models.TextField()
    recipient = models.TextField()
    # The reference that the pieces share, how many there are, and which this is, from 1.
    reference = models.IntegerField()
    total = models.SmallIntegerField()
    number = models.SmallIntegerField()
    text = models.TextField()
    raw = models.JSONField()
    received_at = models.DateTimeField()

    class Meta:
        indexes = [
            # Its siblings.
            models.Index(fields=["operator_id", "sender", "recipient", "reference"], name="inbound_part_set"),
            # The sweep.
            models.Index(fields=["received_at"], name="inbound_part_age"),
        ]
