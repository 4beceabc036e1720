from django.db import models

from routing.models.operator import Operator


class Route(models.Model):
    """Which messages an operator may carry. Empty fields match everything; the longest prefix wins,
    then the higher priority, then chance by weight."""

    operator = models.ForeignKey(Operator, on_delete=models.CASCADE, related_name="+")
    tenant_id = models.BigIntegerField(null=True, blank=True)
    channel = models.CharField(max_length=16, default="sms")
    # Digits of the recipient's number after the plus: 33, 1415.
    prefix = models.CharField(max_length=15, blank=True)
    sender = models.CharField(max_length=32, blank=True)
    priority = models.IntegerField(default=0)
    weight = models.PositiveIntegerField(default=1)
    active = models.BooleanField(default=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.channel} +{self.prefix}… → {self.operator}"
