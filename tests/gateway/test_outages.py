"""An outage is told from values that the database refuses."""

import pytest
from django.db import Error, OperationalError, connection

from gateway import outages


def raised(statement, values=()):
    with pytest.raises(Error) as caught, connection.cursor() as cursor:
        cursor.execute(statement, values)
    return caught.value


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("statement", "away"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", True),
        ("SELECT * FROM a_table_of_the_next_release", True),
        ("SELECT 1 / 0", False),
        ("SELECT 'x'::int", False),
    ],
)
def test_it_is_told_by_the_state(statement, away):
    assert outages.is_away(raised(statement)) is away
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_what_is_too_long_for_an_index_is_no_outage():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE indexed (value text UNIQUE)")
        cursor.execute("SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400) n")
        ((long,),) = cursor.fetchall()
    error = raised("INSERT INTO indexed VALUES (%s)", [long])
    assert isinstance(error, OperationalError)
    assert not outages.is_away(error)
