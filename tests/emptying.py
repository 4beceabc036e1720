"""What tests that commit leave is removed: only from the tables that they wrote to.

Django's own flush empties every table with all its partitions, and makes content types and permissions anew, for a
tenth of a second of two processes' time after each test.
"""

from django.apps import apps
from django.db import connection
from django.test import TransactionTestCase

from routing.apps import keep_sandbox

# Rows that migrations made; with a file of some size a table has, or had, other ones.
KEPT = ("django_migrations", "django_content_type", "auth_permission")
_FILLED = """
SELECT array_agg(quote_ident(relname)) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> ALL(%s) AND pg_relation_size(oid) > 0
"""


def empty() -> None:
    """Leave the database as migrations left it."""
    with connection.cursor() as cursor:
        cursor.execute(_FILLED, [list(KEPT)])
        filled = cursor.fetchone()[0]
        if filled:
            cursor.execute(f"TRUNCATE {', '.join(filled)} CASCADE")
    keep_sandbox(using="default", apps=apps)


def install() -> None:
    """Empty so after each test that commits."""
    TransactionTestCase._fixture_teardown = lambda _case: empty()
