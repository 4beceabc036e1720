from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        from gateway import sealing
        from gateway.hooks import hooks
        from webhooks import fanout, history
        from webhooks.models import SignatureKey, Webhook

        hooks.fan_out.append(fanout.fan_out)
        hooks.timeline.append(history.timeline)
        for column in ("secret", "previous_secret"):
            sealing.register(model=Webhook, column=column, context=sealing.CONTEXT_WEBHOOK_SECRET)
        sealing.register(model=SignatureKey, column="private_key", context=sealing.CONTEXT_SIGNATURE_KEY)
