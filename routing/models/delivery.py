from django.contrib.postgres.fields import ArrayField
from django.db import models

from gateway import ids


class Delivery(models.Model):
    """One operator's try at a message, while it lasts: from the relay's lease to the operator's answer.

    A row here says "an operator's worker has it, or will within the lease". The answer ends the row: what the
    operator accepted lives on in :class:`routing.models.Part`, what came to nothing goes back to wait.
    """

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    message_id = models.UUIDField()
    tenant_id = models.BigIntegerField()
    operator_id = models.IntegerField()
    priority = models.SmallIntegerField()
    parts = models.SmallIntegerField()
    # Since when it was due: what goes back to wait keeps its place.
    due_at = models.DateTimeField()
    attempts = models.SmallIntegerField()
    refused_by = ArrayField(models.IntegerField(), default=list)
    # Whose it is is over then; a worker renews it while it works on the row.
    lease_until = models.DateTimeField()
    # The worker's process, once it took the row in hand; null while the row is with the broker.
    worker = models.TextField(null=True)
    queued_at = models.DateTimeField()
    # Once taken in hand: the step of the message's fallback chain that the operator is given; null without one.
    step = models.SmallIntegerField(null=True)

    class Meta:
        indexes = [
            # The relay's count of what each operator has in hand, and its sweep of leases that ran out.
            models.Index(fields=["operator_id", "lease_until"], name="delivery_operator"),
        ]
