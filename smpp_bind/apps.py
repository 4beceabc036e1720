from django.apps import AppConfig


class SmppBindConfig(AppConfig):
    name = "smpp_bind"
    verbose_name = "SMPP"
