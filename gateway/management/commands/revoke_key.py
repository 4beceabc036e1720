"""``manage.py revoke_key PREFIX`` or ``--tenant T --name N``."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from gateway import keys, tenants
from gateway.management import console
from gateway.models import ApiKey


class Command(console.Command):
    help = "Revoke an API key: within 5 seconds no process takes it any more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", nargs="?", default="", help="the key, or its first characters")
        parser.add_argument("--tenant", help="slug or name; narrows the search")
        parser.add_argument("--name", help="the key's name; needs --tenant")

    def handle(self, *args: Any, **options: Any) -> None:
        key = _find(options["prefix"], options["tenant"], options["name"])
        keys.revoke(key=key, now=datetime.now(tz=UTC))
        key.refresh_from_db()
        revoked = key.revoked_at.isoformat() if key.revoked_at else None
        shown = {"tenant": key.tenant.slug, "name": key.name, "prefix": key.prefix, "revokedAt": revoked}
        self.show(shown, options)


def _find(prefix: str, tenant: str | None, name: str | None) -> ApiKey:
    """The one key that is meant.

    Raises:
        CommandError: none, or several.
    """
    found = ApiKey.objects.select_related("tenant")
    if name and not tenant:
        raise CommandError("--name needs --tenant")
    if tenant:
        try:
            found = found.filter(tenant=tenants.find(name=tenant))
        except tenants.TenantError as error:
            raise CommandError(str(error)) from error
    if name:
        found = found.filter(name=name)
    elif prefix.startswith(keys.PREFIX) and len(prefix) > len(keys.PREFIX):
        whole = len(prefix) > keys.SHOWN
        found = (
            found.filter(fingerprint=keys.fingerprint(prefix))
            if whole
            else found.filter(prefix__startswith=prefix)
        )
    else:
        raise CommandError(f"give the key or its first characters ({keys.PREFIX}…), or --tenant and --name")
    matches = list(found[:2])
    if not matches:
        raise CommandError("there is no such key")
    if len(matches) > 1:
        raise CommandError("several keys begin like that: give more characters")
    return matches[0]
