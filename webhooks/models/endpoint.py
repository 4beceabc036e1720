from django.db import models


class Endpoint(models.Model):
    """What was learned about where callbacks go; no row means nothing was learned yet.

    An endpoint is a webhook, a webhook's failover URL, or a tenant's callbackUrls of one host.
    """

    id = models.UUIDField(primary_key=True)
    tenant_id = models.BigIntegerField()
    # Callbacks that may be leased at once: grows with success, halves when the endpoint does not answer.
    cap = models.IntegerField()
    # From a Retry-After, or of an open circuit: nothing is claimed before.
    paused_until = models.DateTimeField(null=True)
    # The circuit is open since then; one attempt at a time is made when `paused_until` has passed. Null: closed.
    opened_at = models.DateTimeField(null=True)
    # Probes that failed since the circuit opened: they make the next pause longer.
    probes = models.SmallIntegerField(db_default=0, default=0)
    # The first failure since the last success, and how many there were.
    failing_since = models.DateTimeField(null=True)
    failures = models.IntegerField(db_default=0, default=0)
