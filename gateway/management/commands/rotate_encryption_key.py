"""``manage.py rotate_encryption_key [--generate]``."""

from collections import Counter
from typing import Any

from django.core.management.base import CommandError, CommandParser

from gateway import sealing
from gateway.management import console

_STEPS = (
    "put the key last in ENCRYPTION_KEYS of every process, and restart them: all of them can open what it seals",
    "put it first, and restart them again: it seals whatever is new",
    "run manage.py rotate_encryption_key: it seals anew whatever is older",
    "drop the keys that it reports as unused, and restart once more",
)


class Command(console.Command):
    help = (
        "Seal every secret at rest anew under the first of ENCRYPTION_KEYS. The system may run meanwhile, and the "
        "command may be run again. It reports which keys nothing uses any more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--generate", action="store_true", help="only print a fresh key, and what to do with it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["generate"]:
            self._generate(options)
            return
        done = {str(column): sealing.reseal(column) for column in sealing.columns()}
        if options["json"]:
            self.show(_report(done), options)
        else:
            self._print(_report(done))
        unreadable = [table for table, result in done.items() if result.unreadable]
        if unreadable:
            raise CommandError(
                f"values that do not open were left as they are, in {', '.join(unreadable)}: "
                "their key is missing from ENCRYPTION_KEYS"
            )

    def _generate(self, options: dict[str, Any]) -> None:
        key, name = sealing.fresh_key()
        if options["json"]:
            self.show({"key": key, "name": name, "steps": list(_STEPS)}, options)
            return
        self.show({"key": key, "name": name}, options)
        for number, step in enumerate(_STEPS, start=1):
            self.stdout.write(f"{number}. {step}")

    def _print(self, report: dict[str, Any]) -> None:
        for table in report["tables"]:
            line = f"{table['table']}: {table['resealed']} sealed anew, {table['values']} in all"
            self.stdout.write(line + (f", {table['unreadable']} unreadable" if table["unreadable"] else ""))
        for key in report["keys"]:
            first = ", seals" if key["first"] else ""
            self.stdout.write(f"key {key['name']}: {key['values']} values{first}")
        self.stdout.write(f"unused: {', '.join(report['unused']) or 'none'}")


def _report(done: dict[str, sealing.Resealed]) -> dict[str, Any]:
    """``tables``, ``keys`` of the setting with how many values each seals now, and the ``unused`` among them."""
    by_key = sum((result.by_key for result in done.values()), Counter[str]())
    names = sealing.names()
    return {
        "tables": [
            {
                "table": table,
                "values": result.by_key.total(),
                "resealed": result.resealed,
                "unreadable": result.unreadable,
            }
            for table, result in done.items()
        ],
        "keys": [{"name": name, "values": by_key[name], "first": name == names[0]} for name in names],
        "unused": [name for name in names[1:] if not by_key[name]],
    }
