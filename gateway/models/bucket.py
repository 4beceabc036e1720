from django.db import models


class Bucket(models.Model):
    """A token bucket shared by all processes, as GCRA keeps it: one moment a key.

    ``theoretical_at`` is when the next token would come if all taken so far had come evenly.
    """

    key = models.TextField(primary_key=True)
    theoretical_at = models.DateTimeField()
    # How many tokens the last taker got: what its statement returns.
    granted = models.IntegerField(db_default=0, default=0)
