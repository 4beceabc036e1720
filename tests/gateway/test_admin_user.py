"""The first user of the admin."""

import io
import json

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> dict:
    out = io.StringIO()
    call_command("ensure_admin", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_makes_one_where_there_is_none():
    made = run()
    assert made["username"] == "admin"
    assert Client().login(**made)
    assert User.objects.get().is_superuser
    assert run() == {"username": None, "password": None}
    assert Client().login(**made)


def test_gives_a_new_password():
    old = run()
    new = run("--reset")
    assert Client().login(**new)
    assert not Client().login(**old)


def test_takes_no_ones_place():
    User.objects.create_user("admin", password=None)
    with pytest.raises(CommandError, match="no active superuser"):
        run()
    assert run("--username", "root")["username"] == "root"
    for arguments in (["--reset"], ["--username", ""], ["--username", "a\tb"], ["--username", "x" * 151]):
        with pytest.raises(CommandError):
            run(*arguments)
