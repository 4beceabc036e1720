"""The binds that an operator allows, shared by sessions of a real database."""

import contextlib

import pytest
from django.db import Error as DatabaseError
from django.db import connection

from routing import bind_slots
from routing.bind_slots import Slots, Wish
from routing.models import Operator

pytestmark = pytest.mark.django_db


@pytest.fixture
def process():
    """A process's slots, as many processes as are asked for."""
    with contextlib.ExitStack() as undo:

        def start():
            slots = Slots()
            undo.callback(slots.close)
            return slots

        yield start


def cut(slots):
    """End the session as the server does when it is restarted."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [slots._session.connection.info.backend_pid])


def wish(binds, limit):
    return {1: Wish(binds, limit)}


def test_it_gives_a_process_what_it_wants_and_no_more_than_is_allowed(process):
    one, two, three = process(), process(), process()
    assert one.hold(wishes=wish(2, 3)) == {1: 2}
    assert two.hold(wishes=wish(2, 3)) == {1: 1}
    assert three.hold(wishes=wish(2, 3)) == {1: 0}
    assert one.hold(wishes=wish(2, 3)) == {1: 2}


def test_it_counts_each_operator_by_itself(process):
    one, two = process(), process()
    assert one.hold(wishes={1: Wish(1, 1), 2: Wish(1, 2)}) == {1: 1, 2: 1}
    assert two.hold(wishes={1: Wish(1, 1), 2: Wish(1, 2)}) == {1: 0, 2: 1}


def test_it_passes_on_what_a_process_gives_back(process):
    one, two = process(), process()
    one.hold(wishes=wish(3, 3))
    assert one.hold(wishes=wish(1, 3)) == {1: 1}
    assert two.hold(wishes=wish(3, 3)) == {1: 2}
    assert one.hold(wishes={}) == {}
    assert two.hold(wishes=wish(3, 3)) == {1: 3}


def test_it_passes_on_at_once_what_a_process_held_that_is_gone(process):
    one, two = process(), process()
    one.hold(wishes=wish(2, 2))
    one._session.connection.pgconn.finish()
    assert two.hold(wishes=wish(1, 2)) == {1: 1}


def test_it_asks_for_nothing_where_nothing_is_limited(process):
    one = process()
    assert one.hold(wishes={}) == {}
    assert one._session is None


def test_it_claims_first_what_it_held_before_the_database_went(process):
    one, two = process(), process()
    one.hold(wishes=wish(1, 1))
    two.hold(wishes=wish(1, 1))
    for each in (one, two):
        cut(each)
        with pytest.raises(DatabaseError):
            each.hold(wishes=wish(1, 1))
    assert two.hold(wishes=wish(1, 1)) == {1: 0}
    assert one.hold(wishes=wish(1, 1)) == {1: 1}


def test_it_takes_more_again_some_seconds_after_the_database_is_back(process, monkeypatch):
    monkeypatch.setattr(bind_slots, "RECLAIM_SECONDS", 0.0)
    one, two = process(), process()
    one.hold(wishes=wish(1, 1))
    two.hold(wishes=wish(1, 1))
    one.close()
    cut(two)
    with pytest.raises(DatabaseError):
        two.hold(wishes=wish(1, 1))
    assert two.hold(wishes=wish(1, 1)) == {1: 1}


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, None),
        ({"binds": 4}, None),
        ({"max_binds": 4}, Wish(1, 4)),
        ({"max_binds": "4", "binds": 2}, Wish(2, 4)),
        ({"max_binds": 2, "binds": 8}, Wish(2, 2)),
        ({"max_binds": "four"}, None),
        ({"max_binds": 0}, None),
    ],
)
def test_it_reads_the_wish_from_the_settings(settings, wanted):
    assert bind_slots.wish_of(Operator(slug="one", transport="smpp", settings=settings)) == wanted


def test_a_limit_that_is_lowered_is_kept_by_all(process):
    one, other = process(), process()
    assert one.hold(wishes={8: Wish(2, 4)}) == {8: 2}
    assert other.hold(wishes={8: Wish(2, 4)}) == {8: 2}
    for slots in (one, other):
        slots.hold(wishes={8: Wish(2, 2)})
    assert sum(slots.hold(wishes={8: Wish(2, 2)})[8] for slots in (one, other)) == 2
