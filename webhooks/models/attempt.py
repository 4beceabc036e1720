from django.db import models

from gateway.models.base import TenantQuerySet


class Attempt(models.Model):
    """One try at a callback. Partitioned by the callback's key, so that both go on the same day."""

    pk = models.CompositePrimaryKey("callback_id", "number")
    callback_id = models.UUIDField(db_column="id")
    number = models.SmallIntegerField()
    tenant_id = models.BigIntegerField()
    started_at = models.DateTimeField()
    duration_ms = models.IntegerField()
    status_code = models.SmallIntegerField(null=True)
    # delivered, status, gone, redirect, unexpected_body, timeout, connect, dns, tls, protocol, blocked, template,
    # error: see webhooks.outcomes.
    outcome = models.TextField()
    error = models.TextField(null=True)
    # Whether it went to the webhook's failover URL.
    failover = models.BooleanField(db_default=False, default=False)
    # The webhook-id of the request, where it carried several events.
    batch = models.TextField(null=True)
    # The first 16 KiB of the answer, as text.
    body = models.TextField(null=True)

    objects = TenantQuerySet.as_manager()
