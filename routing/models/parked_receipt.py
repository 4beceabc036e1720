from django.db import models

from gateway import ids


class ParkedReceipt(models.Model):
    """A receipt that came before the answer to its submit was stored, or for nothing we know; matched again."""

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    operator_id = models.IntegerField()
    remote_id = models.TextField()
    # The fields of routing.contract.Receipt.
    receipt = models.JSONField()
    received_at = models.DateTimeField()
    next_match_at = models.DateTimeField()
    tries = models.SmallIntegerField(default=0)

    class Meta:
        indexes = [
            # The answer's transaction looks whether its receipt is already here.
            models.Index(fields=["operator_id", "remote_id"], name="parked_receipt_remote"),
            # The sweep.
            models.Index(fields=["next_match_at"], name="parked_receipt_due"),
        ]
