"""``manage.py add_number NUMBER --tenant T …``."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from gateway import numbers_owned, tenants
from gateway.management import console
from routing.models import Operator


class Command(console.Command):
    help = (
        "Give a tenant a number that handsets write to, or one keyword of a number that several share. What came to "
        "it in the week before is the tenant's within a minute; from then on what comes is within two seconds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", help="+14155550100, 4242 or a name")
        parser.add_argument("--tenant", required=True, help="slug or name")
        parser.add_argument("--channel", choices=numbers_owned.CHANNELS, default="sms")
        parser.add_argument(
            "--keyword", default="", help="of a shared number: what its texts are or begin with"
        )
        parser.add_argument("--operator", default="", help="slug of the only one that it counts for")
        parser.add_argument("--remove", action="store_true", help="take it away from the tenant")

    def handle(self, *args: Any, **options: Any) -> None:
        change = numbers_owned.take if options["remove"] else numbers_owned.give
        try:
            tenant = tenants.find(name=options["tenant"])
            if not options["remove"]:
                _check(options["operator"], options["channel"])
            number = change(
                number=options["number"],
                tenant=tenant,
                channel=options["channel"],
                keyword=options["keyword"],
                operator=options["operator"],
            )
        except (numbers_owned.NumberError, tenants.TenantError) as error:
            raise CommandError(str(error)) from error
        shown = {
            "number": number.number,
            "tenant": tenant.slug,
            "channel": number.channel,
            "keyword": number.keyword or None,
            "operator": number.operator or None,
            "removed": options["remove"],
        }
        self.show(shown, options)


def _check(slug: str, channel: str) -> None:
    """Raises CommandError for an operator that is not there, or is of another channel."""
    if not slug:
        return
    found = Operator.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"there is no operator {slug!r}")
    if found.channel != channel:
        raise CommandError(f"the operator {slug!r} carries {found.channel}, not {channel!r}")
