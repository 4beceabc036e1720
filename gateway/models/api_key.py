from django.contrib.postgres.fields import ArrayField
from django.db import models

from gateway.models.tenant import Tenant

PERMISSIONS = (
    "messages:send",
    "reports:read",
    "contacts:manage",
    "analytics:read",
    "webhooks:manage",
    "templates:manage",
    "inbound:read",
)


class ApiKey(models.Model):
    """A credential of a tenant's: found by a keyed fingerprint, its secret sealed, both shown once."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    # HMAC-SHA256 of the apiKey under the installation's fingerprint key.
    fingerprint = models.BinaryField(unique=True)
    # The first characters of the apiKey, to tell keys apart in lists.
    prefix = models.CharField(max_length=16)
    secret = models.BinaryField()
    permissions = ArrayField(models.TextField())
    allowed_networks = ArrayField(models.TextField(), default=list, blank=True)
    # Requests per second, and how many may come at once; null is no limit.
    rate = models.FloatField(null=True, blank=True)
    burst = models.PositiveIntegerField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "API key"
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="api_key_name")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
