from django.db import models


class Part(models.Model):
    """One submit that an operator accepted: where receipts are matched, by operator and remote id.

    A long message has several. Operators reuse ids after a while, so the newest match counts.
    """

    id = models.BigAutoField(primary_key=True)
    operator_id = models.IntegerField()
    # Canonical form: see smpp_bind.dlr.canonical for SMPP's.
    remote_id = models.TextField()
    message_id = models.UUIDField()
    tenant_id = models.BigIntegerField()
    number = models.SmallIntegerField(default=1)
    parts = models.SmallIntegerField(default=1)
    # What the receipt said of this part: a final state of routing.contract.ReceiptState; null until then.
    state = models.TextField(null=True)
    submitted_at = models.DateTimeField()
    # The step of the message's fallback chain that it was sent for, -1 for an earlier one; null without a chain.
    step = models.SmallIntegerField(null=True)

    class Meta:
        indexes = [
            # Receipts find their part.
            models.Index(fields=["operator_id", "remote_id"], name="part_remote"),
            # The other parts of a long message.
            models.Index(fields=["message_id"], name="part_message", condition=models.Q(parts__gt=1)),
            # Housekeeping.
            models.Index(fields=["submitted_at"], name="part_age"),
        ]
