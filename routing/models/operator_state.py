from django.db import models


class OperatorState(models.Model):
    """What one worker process last said of one operator. Slim, rewritten about once a second.

    Not seen for a few seconds: the worker is gone. No row that is up: the relay leaves the operator's
    messages waiting.
    """

    pk = models.CompositePrimaryKey("operator_id", "worker")
    operator_id = models.IntegerField()
    worker = models.TextField()
    up = models.BooleanField()
    # How many requests may be unanswered at once over this worker's binds.
    window = models.IntegerField(default=0)
    # The operator said "slow down" until then.
    paused_until = models.DateTimeField(null=True)
    detail = models.JSONField(default=dict)
    seen_at = models.DateTimeField()
