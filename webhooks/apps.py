from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        from gateway.hooks import hooks
        from webhooks import fanout, history

        hooks.fan_out.append(fanout.fan_out)
        hooks.timeline.append(history.timeline)
