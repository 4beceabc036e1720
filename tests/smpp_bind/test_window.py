import pytest

from smpp_bind import errors
from smpp_bind.window import LAST_SEQUENCE, Sent, Window


def test_it_numbers_from_one_and_gives_back_the_token():
    window = Window(size=10, timeout=5)
    assert [window.add(token, 1.5) for token in "abc"] == [1, 2, 3]
    assert window.take(2) == Sent("b", 1.5)
    assert window.take(2) is None
    assert len(window) == 2
    assert window.room == 8


def test_it_refuses_more_than_its_size():
    window = Window(size=1, timeout=5)
    window.add("a", 0)
    with pytest.raises(errors.WindowFullError):
        window.add("b", 0)


def test_it_wraps_and_skips_what_is_in_flight_or_reserved():
    reserved = {2: "enquire_link"}
    window = Window(size=10, timeout=5, first=LAST_SEQUENCE - 1, reserved=reserved)
    assert [window.add(token, 0) for token in "abcd"] == [LAST_SEQUENCE - 1, LAST_SEQUENCE, 1, 3]
    again = Window(size=10, timeout=5, first=LAST_SEQUENCE)
    assert [again.add("a", 0), again.add("b", 0)] == [LAST_SEQUENCE, 1]
    again._next = LAST_SEQUENCE
    assert again.add("c", 0) == 2


def test_it_expires_the_oldest_first_and_only_what_is_due():
    window = Window(size=10, timeout=5)
    for moment in (1.0, 2.0, 3.0):
        window.add(moment, moment)
    assert window.next_expiry() == 6.0
    assert window.expire(5.9) == []
    assert [sent.token for sent in window.expire(7.0)] == [1.0, 2.0]
    assert window.next_expiry() == 8.0
    assert [sent.token for sent in window.drain()] == [3.0]
    assert window.next_expiry() is None
