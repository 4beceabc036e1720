"""Management commands in one process: a JSON array of argument vectors in, a JSON array of what they printed out."""

import io
import json
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django  # once the settings are named
    from django.core.management import call_command

    django.setup()
    answers = []
    for name, *arguments in json.load(sys.stdin):
        output = io.StringIO()
        call_command(name, *arguments, "--json", stdout=output)
        answers.append(json.loads(output.getvalue()))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
