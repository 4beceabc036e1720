from django.db import models

from gateway import ids
from gateway.models.base import TenantQuerySet
from webhooks.models.webhook import Webhook


class Replay(models.Model):
    """A wish to send a webhook's callbacks again; the relay works it off in steps, newest progress in the row."""

    class Only(models.TextChoices):
        FAILED = "failed"  # those given up
        ALL = "all"  # delivered ones too

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        CANCELED = "canceled"

    id = models.UUIDField(primary_key=True, default=ids.one, editable=False)
    tenant_id = models.BigIntegerField()
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="+")
    # Callbacks made from `since` on, and before `until`.
    since = models.DateTimeField()
    until = models.DateTimeField()
    only = models.TextField(choices=Only.choices)
    state = models.TextField(choices=State.choices, default=State.RUNNING)
    # The last callback looked at.
    position = models.UUIDField(null=True)
    looked_at = models.IntegerField(default=0)
    replayed = models.IntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="replay_running", condition=models.Q(state="running")),
        ]

    def __str__(self) -> str:
        return str(self.id)
