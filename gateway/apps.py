from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from gateway import sealing
        from gateway.models import ApiKey, Tenant

        sealing.register(model=ApiKey, column="secret", context=sealing.CONTEXT_KEY_SECRET)
        for column in ("callback_secret", "previous_callback_secret"):
            sealing.register(model=Tenant, column=column, context=sealing.CONTEXT_TENANT_CALLBACK)
