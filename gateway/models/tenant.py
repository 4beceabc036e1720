from django.db import models


class Tenant(models.Model):
    """A customer of the platform; whatever it owns carries its id."""

    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    active = models.BooleanField(default=True)
    # Signs callbacks to a message's own callbackUrl (Standard Webhooks), sealed.
    callback_secret = models.BinaryField()
    # Most messages that may wait at once; null is the platform's setting.
    backlog_limit = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name
