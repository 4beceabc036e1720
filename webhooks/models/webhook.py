from django.contrib.postgres.fields import ArrayField
from django.db import models

from gateway import ids
from gateway.models.base import TenantQuerySet
from gateway.models.tenant import Tenant


class Webhook(models.Model):
    """A tenant's subscription: which events go to which URL, and how. Its id is also its endpoint's."""

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    url = models.TextField()
    method = models.CharField(max_length=6)
    encoding = models.CharField(max_length=12)
    # As the client named them: ours (`message.sent`), MessageMedia's (`SUBMITTED_DR`), or both.
    events = ArrayField(models.TextField())
    headers = models.JSONField(default=dict, blank=True)
    template = models.TextField(null=True, blank=True)
    format = models.CharField(max_length=20, default="standard")
    description = models.TextField(null=True, blank=True)

    # Milliseconds for the whole attempt; null is the platform's 20 s.
    read_timeout = models.PositiveIntegerField(null=True, blank=True)
    # Given: as many fixed repeats, `retry_delay` seconds apart. Null: the exponential schedule of a day.
    retries = models.PositiveSmallIntegerField(null=True, blank=True)
    retry_delay = models.PositiveSmallIntegerField(null=True, blank=True)

    # Tried at once after `url` failed, and instead of it while its circuit is open.
    failover_url = models.TextField(null=True, blank=True)
    # So many events in one POST at most, and so long an event waits for others; both or neither.
    batch_max_events = models.PositiveSmallIntegerField(null=True, blank=True)
    batch_max_delay_ms = models.PositiveIntegerField(null=True, blank=True)
    # The next event of a message waits for the one before.
    ordered = models.BooleanField(default=False)

    # Sealed. The previous one signs beside the present one until its moment.
    secret = models.BinaryField()
    previous_secret = models.BinaryField(null=True, blank=True)
    previous_secret_until = models.DateTimeField(null=True, blank=True)

    # Inactive: its callbacks are held, not lost.
    active = models.BooleanField(default=True)
    disabled_reason = models.TextField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            # One a URL and method; its index also finds a tenant's webhooks at fan-out.
            models.UniqueConstraint(fields=["tenant", "url", "method"], name="webhook_url_method")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.url}"
