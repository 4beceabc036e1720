"""What the commands share: ``--json``, and errors that end with exit code 1 and one line on stderr."""

import json
import sys
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error


class Parser(CommandParser):
    """Bad options end with 1 like every other failure; argparse's own 2 would need a case of its own."""

    def error(self, message: str) -> NoReturn:
        if self.called_from_command_line:
            self.print_usage(sys.stderr)
            self.exit(1, f"{self.prog}: {message}\n")
        raise CommandError(message)


class Command(BaseCommand):
    """A command that prints one result."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.__class__ = Parser
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except Error as error:
            raise CommandError(f"the database: {str(error).strip()}") from error
        except UnicodeEncodeError as error:
            raise CommandError("an argument is not UTF-8") from error

    def show(self, result: dict[str, Any], options: dict[str, Any]) -> None:
        """One JSON object, or a line a member."""
        if options["json"]:
            self.stdout.write(json.dumps(result))
            return
        width = max(len(name) for name in result)
        for name, value in result.items():
            self.stdout.write(f"{name:<{width}}  {value}")
