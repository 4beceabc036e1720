"""Brings the database up to date and sets the demo up, in one process: starting Django costs a second.

Arguments go to `manage.py demo_setup`; without any there is no demo. Migrations report on stderr, the demo's
set-up on stdout.
"""

import os
import sys

import django
from django.core.management import call_command

from deploy import gate


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    call_command("migrate", interactive=False, stdout=sys.stderr)
    if sys.argv[1:]:
        call_command("demo_setup", *sys.argv[1:])
    gate.open_up()


if __name__ == "__main__":
    main()
