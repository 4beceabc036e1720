from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from gateway import sealing
        from gateway.models import ApiKey, Tenant

        sealing.register(model=ApiKey, column="secret", context=sealing.CONTEXT_KEY_SECRET)
        sealing.register(model=Tenant, column="callback_secret", context=sealing.CONTEXT_TENANT_CALLBACK)
