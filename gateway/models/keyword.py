from django.db import models

from gateway import ids
from gateway.models.base import TenantQuerySet
from gateway.models.tenant import Tenant


class Keyword(models.Model):
    """What happens when a handset sends this word; a built-in one is here only once a tenant has changed it."""

    class Match(models.TextChoices):
        EXACT = "exact"
        FIRST_WORD = "firstWord"

    class Action(models.TextChoices):
        OPT_OUT = "optOut"
        OPT_IN = "optIn"
        HELP = "help"
        REPLY = "reply"
        FORWARD = "forward"

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    # In capitals.
    keyword = models.CharField(max_length=100)
    match = models.CharField(max_length=10, choices=Match.choices, default=Match.EXACT)
    action = models.CharField(max_length=10, choices=Action.choices)
    reply_text = models.TextField(null=True, blank=True)
    callback_url = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "keyword"], name="keyword_word")]

    def __str__(self) -> str:
        return self.keyword
