"""``manage.py create_tenant NAME``."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from gateway import tenants
from gateway.management import console


class Command(console.Command):
    help = "Make a tenant; prints its slug and the secret that signs callbacks to messages' own callbackUrl."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--slug", default="", help="made from the name when not given")
        parser.add_argument("--backlog-limit", type=int, help="most messages that may wait at once")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["backlog_limit"] is not None and options["backlog_limit"] < 0:
            raise CommandError("--backlog-limit must not be negative")
        try:
            tenant, secret = tenants.create(
                name=options["name"], slug=options["slug"], backlog_limit=options["backlog_limit"]
            )
        except tenants.TenantError as error:
            raise CommandError(str(error)) from error
        self.show({"slug": tenant.slug, "name": tenant.name, "callbackSecret": secret}, options)
