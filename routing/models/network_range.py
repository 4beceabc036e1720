from django.db import models


class NetworkRange(models.Model):
    """Which mobile network numbers with a prefix belong to, as far as the platform's operator knows."""

    # Digits of the number after the plus; the longest that fits counts.
    prefix = models.CharField(max_length=15, primary_key=True)
    mcc = models.CharField(max_length=3)
    mnc = models.CharField(max_length=3)

    def __str__(self) -> str:
        return f"+{self.prefix} {self.mcc}-{self.mnc}"
