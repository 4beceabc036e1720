"""Subscriptions, and the callbacks on their way to them."""

from webhooks.models.attempt import Attempt
from webhooks.models.callback import Callback
from webhooks.models.due_callback import DueCallback
from webhooks.models.endpoint import Endpoint
from webhooks.models.replay import Replay
from webhooks.models.signature_key import SignatureKey
from webhooks.models.webhook import Webhook

__all__ = ["Attempt", "Callback", "DueCallback", "Endpoint", "Replay", "SignatureKey", "Webhook"]
