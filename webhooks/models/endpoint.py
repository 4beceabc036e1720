from django.db import models


class Endpoint(models.Model):
    """What was learned about where callbacks go; no row means nothing was learned yet.

    An endpoint is a webhook, or a tenant's callbackUrls of one host.
    """

    id = models.UUIDField(primary_key=True)
    tenant_id = models.BigIntegerField()
    # Callbacks that may be leased at once: grows with success, halves when the endpoint does not answer.
    cap = models.IntegerField()
    # From a Retry-After: nothing is claimed before.
    paused_until = models.DateTimeField(null=True)
