"""``manage.py sync_templates [SLUG]``."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from gateway.management import console
from routing import operators
from routing.errors import RoutingError
from routing.models import Operator
from routing.transports import whatsapp_templates


class Command(console.Command):
    help = (
        "Read the templates of WhatsApp operators from Meta; of all that have a business account, or of one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", nargs="?", help="of one operator")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Operator.objects.filter(transport="whatsapp").order_by("slug")
        if options["slug"] is not None:
            rows = rows.filter(slug=options["slug"])
            if not rows:
                raise CommandError(f"there is no WhatsApp operator {options['slug']!r}")
        else:
            rows = rows.filter(active=True, settings__has_key="business_account_id")
        found: dict[str, int] = {}
        failed: list[str] = []
        for row in rows:
            try:
                found[row.slug] = whatsapp_templates.synchronise(
                    operator=operators.settings_of(row), now=datetime.now(tz=UTC)
                )
            except RoutingError as error:
                # The others' are read all the same.
                failed.append(f"{row.slug}: {str(error).removeprefix(f'{row.slug}: ')}")
        if failed:
            raise CommandError("; ".join(failed))
        self.show({"templates": sum(found.values()), "operators": found}, options)
