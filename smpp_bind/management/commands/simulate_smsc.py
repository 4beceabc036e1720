"""`manage.py simulate_smsc`: a simulated SMSC in the foreground."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from smpp_bind import simulator
from smpp_bind.simulator import options


class Command(BaseCommand):
    help = "Runs an SMSC to try things against (SMPP 3.4), until interrupted."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_to(parser)

    def run_from_argv(self, argv: list[str]) -> None:
        """As Django's, but an unknown option ends with 1, as every other bad input does."""
        try:
            super().run_from_argv(argv)
        except SystemExit as end:
            sys.exit(1 if end.code == 2 else end.code)

    def handle(self, *args: Any, **values: Any) -> None:
        try:
            simulator.run(options.read(values), write=self._line)
        except (simulator.SettingsError, OSError) as error:
            raise CommandError(str(error)) from error

    def _line(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
