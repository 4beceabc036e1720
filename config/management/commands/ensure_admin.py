"""``manage.py ensure_admin``: the first user of the admin, for an installation that has none."""

import secrets
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from gateway.management import console


class Command(console.Command):
    help = (
        "Make a superuser with a random password, shown this once, unless there is a superuser already; "
        "--reset gives the one of this name a new password."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="admin")
        parser.add_argument("--reset", action="store_true", help="a new password for a user who lost it")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["username"]
        if not name.strip() or len(name) > 150 or not name.isprintable():
            raise CommandError("the username must be 1 to 150 printable characters")
        with transaction.atomic():
            password = _reset(name) if options["reset"] else _make(name)
        self.show({"username": name if password else None, "password": password}, options)


def _make(name: str) -> str | None:
    """The password; None when there is a superuser who can sign in."""
    if User.objects.filter(is_superuser=True, is_active=True).exists():
        return None
    if User.objects.filter(username=name).exists():
        raise CommandError(f"there is a user {name!r} who is no active superuser: give another --username")
    password = secrets.token_urlsafe(18)
    User.objects.create_superuser(name, password=password)
    return password


def _reset(name: str) -> str:
    user = User.objects.select_for_update().filter(username=name, is_superuser=True).first()
    if user is None:
        raise CommandError(f"there is no superuser {name!r}")
    password = secrets.token_urlsafe(18)
    user.set_password(password)
    user.is_active = True
    user.save(update_fields=["password", "is_active"])
    return password
