"""``manage.py add_route --operator SLUG …``."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandError, CommandParser

from gateway import tenants
from gateway.management import console
from routing import provisioning
from routing.models import Route
from routing.provisioning import RouteWish


class Command(console.Command):
    help = (
        "Let an operator carry messages. Of the routes that match, the longest prefix wins, then one for the "
        "tenant, the sender, the tag, the network, the country, then the higher priority, the lower cost, and chance "
        "by weight; those that lose are what it fails over to, in that order."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--operator", required=True, help="its slug")
        parser.add_argument("--tenant", help="slug or name; all of them when not given")
        parser.add_argument("--channel", choices=provisioning.CHANNELS, help="the operator's when not given")
        parser.add_argument("--prefix", default="", help="first digits of the recipient: 33, 1415")
        parser.add_argument("--country", default="", help="the recipient's, ISO 3166-1 alpha-2: FR")
        parser.add_argument(
            "--network",
            default="",
            help="the recipient's MCC or MCC and MNC: 208, 20801 (see import_networks)",
        )
        parser.add_argument("--sender", default="")
        parser.add_argument("--tag", default="", help="the value of the message's metadata member tag")
        parser.add_argument("--cost", type=_cost, help="of a part; the cheapest of one priority goes first")
        parser.add_argument(
            "--window",
            action="append",
            default=[],
            type=_window,
            metavar="JSON",
            help='when it counts, again for more: {"days": [1, 2], "from": "08:00", "to": "20:00", "zone": "UTC"}',
        )
        parser.add_argument("--priority", type=int, default=0)
        parser.add_argument("--weight", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = tenants.find(name=options["tenant"]) if options["tenant"] else None
            given = {name: options[name] for name in _GIVEN}
            wish = RouteWish(tenant=tenant, windows=options["window"], **given)
            route = provisioning.add_route(wish=wish)
        except (provisioning.ProvisioningError, tenants.TenantError) as error:
            raise CommandError(str(error)) from error
        self.show(_shown(route, tenant.slug if tenant else None), options)


_GIVEN = (
    "operator", "channel", "prefix", "country", "network", "sender", "tag", "cost", "priority", "weight",
)  # fmt: skip


def _cost(text: str) -> Decimal:
    try:
        return Decimal(text).quantize(Decimal("0.000001"))
    except InvalidOperation as error:
        raise ValueError(text) from error


def _window(text: str) -> Any:
    return json.loads(text)


def _shown(route: Route, tenant: str | None) -> dict[str, Any]:
    return {
        "id": route.pk,
        "operator": route.operator.slug,
        "tenant": tenant,
        "channel": route.channel,
        "prefix": route.prefix,
        "country": route.country,
        "network": route.network,
        "sender": route.sender,
        "tag": route.tag,
        "cost": None if route.cost is None else float(route.cost),
        "windows": route.windows,
        "priority": route.priority,
        "weight": route.weight,
    }
