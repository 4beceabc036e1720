"""``manage.py import_networks FILE.csv``."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from gateway.management import console
from routing import networks


class Command(console.Command):
    help = (
        "Replace what is known of networks' numbers by a CSV file with the columns prefix, mcc and mnc "
        "(33610,208,01). Routes with a network follow within a minute."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = networks.load(path=options["file"])
        except networks.ImportRefused as error:
            raise CommandError(str(error)) from error
        self.show({"ranges": count}, options)
