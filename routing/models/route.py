from django.db import models

from routing.models.operator import Operator


class Route(models.Model):
    """Which messages an operator may carry. What it leaves empty matches everything; how routes that match rank is in
    :mod:`routing.ranking`."""

    operator = models.ForeignKey(Operator, on_delete=models.CASCADE, related_name="+")
    tenant_id = models.BigIntegerField(null=True, blank=True)
    channel = models.CharField(max_length=16, default="sms")
    # Digits of the recipient's number after the plus: 33, 1415.
    prefix = models.CharField(max_length=15, blank=True)
    # ISO 3166-1 alpha-2 of the recipient.
    country = models.CharField(max_length=2, blank=True, default="")
    # MCC, or MCC and MNC, of the recipient's network, where it is known: 208, 20801.
    network = models.CharField(max_length=6, blank=True, default="")
    sender = models.CharField(max_length=32, blank=True)
    # The value of the message's metadata member `tag`.
    tag = models.CharField(max_length=100, blank=True, default="")
    # Of one part, in the platform's own unit; with equal rank the cheapest goes first. Null: unknown, the dearest.
    cost = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    # When it counts: [{"days": [1..7], "from": "08:00", "to": "20:00", "zone": "Europe/Paris"}]; empty: always.
    windows = models.JSONField(default=list, blank=True)
    priority = models.IntegerField(default=0)
    weight = models.PositiveIntegerField(default=1)
    active = models.BooleanField(default=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.channel} +{self.prefix}… → {self.operator}"
