"""How long throttling holds a queue, with times as numbers."""

from smpp_bind.pauses import PROBE_SECONDS, Pauses


def test_it_sends_freely_until_it_is_throttled():
    assert Pauses().may_send(1.0) is None


def test_it_doubles_its_pause_up_to_half_a_minute_and_begins_again_after_a_success():
    made = Pauses()
    now, told = 100.0, []
    for _ in range(7):
        told.append(made.throttled(sent_at=now, now=now))
        now = made.until + 1
    assert told == [1, 2, 4, 8, 16, 30, 30]
    made.went_through(sent_at=made.until - 1)
    assert made.throttled(sent_at=now, now=now) == 30
    now = made.until + 1
    made.went_through(sent_at=now)
    assert made.throttled(sent_at=now, now=now) == 1


def test_it_counts_a_whole_window_refused_as_one_pause():
    made = Pauses()
    assert made.throttled(sent_at=10, now=11) == 1
    assert made.throttled(sent_at=10.5, now=11.5) == 0
    assert made.left(11.5) == 0.5
    assert made.left(13) == 0


def test_it_sends_one_ahead_after_a_pause_and_the_rest_when_that_is_through():
    made = Pauses()
    made.throttled(sent_at=10, now=10)
    assert made.may_send(10.9) == 0
    assert made.may_send(11) == 1
    made.probing("probe", 11)
    assert (made.probe, made.may_send(11.1)) == ("probe", 0)
    made.probe_ended()
    assert made.may_send(11.1) is None


def test_it_goes_on_after_a_while_without_the_answer_of_the_one_sent_ahead():
    made = Pauses()
    made.throttled(sent_at=10, now=10)
    made.probing("probe", 11)
    assert made.may_send(11 + PROBE_SECONDS) is None
    assert made.probe is None
