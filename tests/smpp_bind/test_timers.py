from smpp_bind.timers import Due, Timers


def timers(**changes):
    values = {"enquire_link_seconds": 30, "enquire_link_timeout": 10, "bind_timeout": 5, **changes}
    return Timers(**values)


def test_it_has_nothing_due_before_it_begins():
    assert timers().due(1e9) is None


def test_it_ends_a_bind_that_is_not_answered():
    t = timers()
    t.binding(100)
    assert (t.due(104.9), t.due(105)) == (None, Due.BIND_TIMEOUT)


def test_it_enquires_after_silence_and_not_while_anything_is_heard():
    t = timers()
    t.binding(0)
    t.bound(1)
    assert t.next_due() == (31, Due.ENQUIRE_LINK)
    t.heard(20)
    assert (t.due(49), t.due(50)) == (None, Due.ENQUIRE_LINK)


def test_it_takes_the_link_for_dead_when_the_enquiry_stays_unanswered():
    t = timers()
    t.bound(0)
    t.enquired(30)
    assert (t.due(39.9), t.due(40)) == (None, Due.LINK_DEAD)
    t.heard(39.95)
    assert t.next_due() == (69.95, Due.ENQUIRE_LINK)


def test_it_counts_enquiries_as_no_activity():
    t = timers(inactivity_seconds=100)
    t.bound(0)
    t.heard(95)
    assert t.due(100) is Due.INACTIVE
    t.worked(99)
    assert t.due(101) is None


def test_it_waits_only_for_the_end_once_closing():
    t = timers()
    t.bound(0)
    t.closing(10, within=5)
    assert (t.due(14), t.due(15)) == (None, Due.CLOSE_TIMEOUT)


def test_it_can_be_switched_off():
    t = timers(enquire_link_seconds=0)
    t.bound(0)
    assert t.next_due() is None
