"""Subscriptions, and the callbacks on their way to them."""

from webhooks.models.attempt import Attempt
from webhooks.models.callback import Callback
from webhooks.models.due_callback import DueCallback
from webhooks.models.endpoint import Endpoint
from webhooks.models.webhook import Webhook

__all__ = ["Attempt", "Callback", "DueCallback", "Endpoint", "Webhook"]
