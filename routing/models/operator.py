from django.db import models


class Operator(models.Model):
    """A way out: an SMSC account or an HTTP provider, with its own Celery queue, rate and workers."""

    class UnknownOutcome(models.TextChoices):
        RETRY = "retry"  # send again: the handset may see it twice
        UNKNOWN = "unknown"  # leave it sent and wait for a receipt

    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200, blank=True)
    transport = models.CharField(max_length=32)
    channel = models.CharField(max_length=16, default="sms")
    active = models.BooleanField(default=True)
    # Parts per second over all workers; null is no limit.
    rate = models.FloatField(null=True, blank=True)
    # What the transport needs: host, port, window and so on. Each transport documents its own.
    settings = models.JSONField(default=dict)
    # The transport's secrets, a sealed JSON object.
    secrets = models.BinaryField(null=True)
    on_unknown_outcome = models.CharField(
        max_length=8, choices=UnknownOutcome.choices, default=UnknownOutcome.RETRY
    )
    # How ids in receipts relate to ids in answers: auto, as_is, hex_to_decimal, decimal_to_hex; see routing.id_modes.
    id_mode = models.CharField(max_length=16, default="auto")
    # Passed over by routing until then, and why: too many failures, no receipts. Null: it is trusted.
    tripped_until = models.DateTimeField(null=True, blank=True)
    tripped_reason = models.TextField(blank=True, default="")
    # What ids in receipts were seen to be beside those in answers: a rule, empty until enough were seen.
    id_mode_seen = models.CharField(max_length=64, blank=True, default="")
    # What was seen of it until that is enough. These two are written without a new `updated_at`.
    id_evidence = models.JSONField(blank=True, default=dict, db_default={}, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # Whatever changes a row sets it: workers reload the operators whose stamp moved.
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.slug

    @property
    def queue(self) -> str:
        """The Celery queue of its deliveries."""
        return f"operator.{self.slug}"
