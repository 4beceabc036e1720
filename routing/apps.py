from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"
    verbose_name = "Routing"

    def ready(self) -> None:
        from gateway.hooks import hooks
        from routing import selection

        hooks.route = selection.lanes
