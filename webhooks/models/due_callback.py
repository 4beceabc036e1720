from datetime import UTC, datetime

from django.db import models

from gateway.models.base import TenantQuerySet

# What waits for its webhook to be active again is due then; the number is only a day that never comes.
HELD = datetime(9999, 1, 1, tzinfo=UTC)


class DueCallback(models.Model):
    """A callback that is still to be made: the relay's queue, one slim row each.

    ``next_attempt_at`` is schedule and lease in one: a relay that claims the row moves it to the lease's end,
    so a row whose worker died becomes due by itself. It is also the fence: whoever finished an attempt may
    reschedule the row only while the lease is still the one that it was given.
    """

    callback_id = models.UUIDField(primary_key=True)
    tenant_id = models.BigIntegerField()
    endpoint = models.UUIDField()
    event_id = models.UUIDField()
    message_id = models.UUIDField()
    next_attempt_at = models.DateTimeField()
    # Whether `next_attempt_at` is the end of a lease.
    leased = models.BooleanField(default=False)
    # The webhook's own endpoint while the row is diverted to its failover's.
    home = models.UUIDField(null=True)
    # Waits for the callbacks of the same message and webhook that came before it.
    ordered = models.BooleanField(db_default=False, default=False)
    # Attempts that are no step of the schedule: of earlier rounds, since a replay counts on but begins the schedule
    # anew, and the first tries of pairs, where there is a failover.
    base = models.SmallIntegerField(db_default=0, default=0)
    # Attempts made in this round, and when the first of them was; of one that is held: since when it is.
    attempt = models.SmallIntegerField(default=0)
    first_attempt_at = models.DateTimeField(null=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            # The relay's claim: endpoint by endpoint, oldest first, and the count of an endpoint's leases.
            models.Index(fields=["endpoint", "next_attempt_at"], name="due_callback_claim"),
            # What comes before an ordered one.
            models.Index(
                fields=["message_id", "callback_id"],
                name="due_callback_order",
                condition=models.Q(ordered=True),
            ),
        ]
