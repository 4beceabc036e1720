from django.db import models

from gateway import ids
from gateway.models.base import TenantQuerySet
from gateway.models.tenant import Tenant


class SignatureKey(models.Model):
    """A tenant's RSA key; while enabled it signs all its webhooks' calls in MessageMedia's way too."""

    class Digest(models.TextChoices):
        SHA224 = "SHA224"
        SHA256 = "SHA256"
        SHA512 = "SHA512"

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    digest = models.TextField(choices=Digest.choices)
    # Base64 of the DER SubjectPublicKeyInfo, on one line.
    public_key = models.TextField()
    # Sealed DER, PKCS #8.
    private_key = models.BinaryField()
    enabled = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], name="signature_key_enabled", condition=models.Q(enabled=True)
            )
        ]

    def __str__(self) -> str:
        return str(self.id)
