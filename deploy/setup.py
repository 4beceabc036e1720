"""Brings the database up to date and sets the demo up, in one process: starting Django costs a second.

Arguments go to `manage.py demo_setup`; without any there is no demo. Migrations report on stderr, the demo's
set-up on stdout.
"""

import io
import json
import os
import sys
from pathlib import Path

import django
from django.core.management import call_command

from deploy import files, gate


def _first_admin() -> None:
    """Make the admin's first user, once; what the password is, the data folder keeps."""
    printed = io.StringIO()
    call_command("ensure_admin", "--json", stdout=printed)
    made = json.loads(printed.getvalue())
    if made["password"]:
        files.write_json(Path(os.environ["TRUNKLINE_HOME"]) / "admin.json", made)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    call_command("migrate", interactive=False, stdout=sys.stderr)
    if sys.argv[1:]:
        call_command("demo_setup", *sys.argv[1:])
        _first_admin()
    gate.open_up()


if __name__ == "__main__":
    main()
