"""``manage.py issue_key --tenant T --name N``."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from gateway import keys, tenants
from gateway.management import console


class Command(console.Command):
    help = "Issue an API key; it is printed this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="slug or name")
        parser.add_argument("--name", required=True, help="unique for the tenant")
        parser.add_argument(
            "--permission", action="append", default=[], help="again for more; all of them when not given"
        )
        parser.add_argument(
            "--allow-ip",
            action="append",
            default=[],
            metavar="CIDR",
            help="again for more; any address if none",
        )
        parser.add_argument("--rate", type=float, help="requests per second; KEY_RATE when not given")
        parser.add_argument("--burst", type=int, help="requests at once; the rate when not given")
        parser.add_argument("--expires", metavar="DATE", help="ISO 8601: 2027-01-31, or with time and zone")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = tenants.find(name=options["tenant"])
            api_key, secret = keys.issue(
                tenant=tenant,
                name=options["name"],
                permissions=options["permission"],
                allowed_networks=options["allow_ip"],
                rate=options["rate"],
                burst=options["burst"],
                expires_at=_moment(options["expires"]),
            )
        except (keys.IssueError, tenants.TenantError) as error:
            raise CommandError(str(error)) from error
        shown = {"tenant": tenant.slug, "name": options["name"], "apiKey": api_key, "apiSecret": secret}
        self.show(shown, options)


def _moment(text: str | None) -> datetime | None:
    """A date is its first moment in UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"--expires: {text!r} is not an ISO 8601 date") from error
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError as error:
        raise CommandError(f"--expires: {text!r} is out of range") from error
