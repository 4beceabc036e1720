from django.db import models


class _Counted(models.Model):
    """``value`` more or fewer messages of a tenant's, submitted in one minute, of one kind.

    Measure 0 counts messages by the status that they have (``value``), with the error code of those that failed.
    Measures 1 and 2 are histograms of the milliseconds from acceptance to sent and from sent to delivered, by
    bucket number (``value``).
    """

    class Measure(models.IntegerChoices):
        STATUS = 0
        ACCEPTED_TO_SENT = 1
        SENT_TO_DELIVERED = 2

    tenant_id = models.BigIntegerField()
    # The minute of acceptance, UTC; the hour, once that is two days ago.
    at = models.DateTimeField()
    channel = models.TextField()
    # ISO 3166-1 alpha-2 of the recipient; empty where the number has none.
    country = models.TextField()
    # Empty while no operator has the message.
    operator = models.TextField()
    measure = models.SmallIntegerField(choices=Measure.choices)
    value = models.TextField()
    error_code = models.TextField(db_default="", default="")
    count = models.BigIntegerField()

    class Meta:
        abstract = True


class Tally(_Counted):
    """Counts, rolled up; together with :class:`TallyDelta` they are exact at every moment."""

    class Meta:
        verbose_name_plural = "tallies"
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "tenant_id",
                    "at",
                    "channel",
                    "country",
                    "operator",
                    "measure",
                    "value",
                    "error_code",
                ],
                name="tally_kind",
            )
        ]


class TallyDelta(_Counted):
    """What has changed since the last roll-up: written with the change, in its transaction, and never waited for."""

    class Meta:
        indexes = [
            # Analytics reads a tenant's together with the tallies.
            models.Index(fields=["tenant_id", "at"], name="tally_delta_tenant")
        ]
