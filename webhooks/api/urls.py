"""Routes below ``/v1/``. Collections answer with and without their slash: a redirect would turn POST into GET."""

from gateway.api import openapi
from webhooks.api import callback_secret, deliveries, description, replays, signature_keys, webhooks

for part in (description.PART, deliveries.PART, replays.PART, signature_keys.PART, callback_secret.PART):
    openapi.include(part)

urlpatterns = [
    *webhooks.ROUTES,
    *deliveries.ROUTES,
    *replays.ROUTES,
    *signature_keys.ROUTES,
    *callback_secret.ROUTES,
]
