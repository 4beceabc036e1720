"""``manage.py add_route --operator SLUG …``."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from gateway import tenants
from gateway.management import console
from routing import provisioning


class Command(console.Command):
    help = (
        "Let an operator carry messages. Of the routes that match, the longest prefix wins, then one for the "
        "tenant, one for the sender, the higher priority, and chance by weight."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--operator", required=True, help="its slug")
        parser.add_argument("--tenant", help="slug or name; all of them when not given")
        parser.add_argument("--channel", choices=provisioning.CHANNELS, help="the operator's when not given")
        parser.add_argument("--prefix", default="", help="first digits of the recipient: 33, 1415")
        parser.add_argument("--sender", default="")
        parser.add_argument("--priority", type=int, default=0)
        parser.add_argument("--weight", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = tenants.find(name=options["tenant"]) if options["tenant"] else None
            route = provisioning.add_route(
                operator=options["operator"],
                tenant=tenant,
                channel=options["channel"],
                prefix=options["prefix"],
                sender=options["sender"],
                priority=options["priority"],
                weight=options["weight"],
            )
        except (provisioning.ProvisioningError, tenants.TenantError) as error:
            raise CommandError(str(error)) from error
        shown = {
            "id": route.pk,
            "operator": options["operator"],
            "tenant": tenant.slug if tenant else None,
            "channel": route.channel,
            "prefix": route.prefix,
            "sender": route.sender,
            "priority": route.priority,
            "weight": route.weight,
        }
        self.show(shown, options)
