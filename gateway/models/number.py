from django.db import models

from gateway.models.base import TenantQuerySet
from gateway.models.tenant import Tenant


class Number(models.Model):
    """A number, short code or name that handsets write to, and whose it is.

    A shared one has a row for each keyword that leads to a tenant, and at most one without, for all the rest.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    channel = models.CharField(max_length=16, default="sms")
    # Digits without a plus, or letters in lower case: as handsets' messages are looked up.
    number = models.CharField(max_length=32)
    # Normalised as keywords are; empty: whatever no other row of the number takes.
    keyword = models.CharField(max_length=40, blank=True, default="")
    # The slug of the only operator that it counts for; empty: every one.
    operator = models.CharField(max_length=63, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["channel", "number", "keyword", "operator"], name="number_once"),
        ]

    def __str__(self) -> str:
        return self.number
