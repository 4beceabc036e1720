"""Quiet hours of operators: what is held, for whom, until when, and what becomes of it then."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import cancellation, opt_outs
from gateway.hooks import RouteRequest
from gateway.models import DueMessage
from routing import delivery, operators, provisioning, queues, quiet, selection, sweeps
from routing.models import Delivery, Route
from routing.quiet import Hush
from routing.ranking import LATER, NO_ROUTE, Rule, Table
from routing.relay import Relay
from tests.routing.conftest import status_of

INDIA = {"windows": ["21:00-08:00"], "timezone": "Asia/Kolkata"}
RECIPIENTS = {"windows": ["21:00-08:00"], "timezone": "recipient"}
PARIS, NEW_YORK, HONOLULU = "+33612345678", "+12125550100", "+18085550100"
TOLL_FREE = "+18005550100"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rule(operator_id, *, priority=0):
    return Rule(operator_id, "sms", "", None, "", priority, 1)


def request(recipient=PARIS, *, priority=1):
    return RouteRequest(1, "sms", recipient, None, priority=priority)


@pytest.mark.parametrize(
    ("at", "is_quiet"),
    [
        ("2026-06-01T15:29:59", False),
        ("2026-06-01T15:30:00", True),
        ("2026-06-02T02:29:59", True),
        ("2026-06-02T02:30:00", False),
    ],
)
def test_it_is_quiet_by_the_clock_of_its_zone(at, is_quiet):
    assert (quiet.parse(INDIA).at(utc(at)) is not None) is is_quiet


def test_it_is_quiet_only_on_its_days_whole_nights_included():
    sundays = quiet.parse({**INDIA, "days": ["sun"], "timezone": "UTC"})
    assert sundays.at(utc("2026-06-07T23:00")) is not None
    assert sundays.at(utc("2026-06-08T07:59")) is not None
    assert sundays.at(utc("2026-06-08T23:00")) is None


@pytest.mark.parametrize(
    ("recipient", "at", "is_quiet"),
    [
        (PARIS, "2026-06-01T18:59", False),
        (PARIS, "2026-06-01T19:00", True),
        (NEW_YORK, "2026-06-01T19:00", False),
        (NEW_YORK, "2026-06-02T01:00", True),
        (HONOLULU, "2026-06-02T01:00", False),
        # A number of the whole North American plan: Guam sleeps while New York works.
        (TOLL_FREE, "2026-06-01T20:00", True),
        ("+80012345678", "2026-06-01T20:59", False),
        ("+80012345678", "2026-06-01T21:00", True),
    ],
)
def test_it_is_quiet_by_the_clock_of_the_recipient(recipient, at, is_quiet):
    hush = quiet.parse(RECIPIENTS).at(utc(at))
    assert (hush is not None and hush.holds(recipient, 1)) is is_quiet


def test_exempt_priorities_pass():
    hush = quiet.parse({**INDIA, "exempt": ["high"]}).at(utc("2026-06-01T20:00"))
    assert [hush.holds(PARIS, priority) for priority in (0, 1, 2)] == [False, True, True]


def test_it_tells_when_it_ends_and_when_it_begins():
    hours = quiet.parse(INDIA)
    assert hours.turns(utc("2026-06-01T20:00")) == utc("2026-06-02T02:30")
    assert hours.turns(utc("2026-06-02T02:30")) == utc("2026-06-02T15:30")
    assert quiet.parse(RECIPIENTS).turns(utc("2026-06-01T20:00"), PARIS) == utc("2026-06-02T06:00")
    sundays = quiet.parse({"windows": ["00:00-24:00"], "days": ["sat", "sun"], "timezone": "UTC"})
    assert sundays.turns(utc("2026-06-06T05:00")) == utc("2026-06-08T00:00")


@given(st.integers(0, 365 * 86_400))
def test_it_is_the_same_from_now_until_it_turns(seconds):
    moment = utc("2026-01-01T00:00") + timedelta(seconds=seconds)
    hours = quiet.parse({**INDIA, "days": ["mon", "fri"], "timezone": "Europe/Paris"})
    turn = hours.turns(moment)
    is_quiet = hours.at(moment) is not None
    assert (hours.at(turn) is not None) is not is_quiet
    assert (hours.at(max(moment, turn - timedelta(seconds=1))) is not None) is is_quiet


@pytest.mark.parametrize(
    ("given_hours", "named"),
    [
        ([], "quiet_hours must be an object"),
        ({"timezone": "UTC"}, "quiet_hours.windows"),
        ({"windows": [], "timezone": "UTC"}, "quiet_hours.windows"),
        ({"windows": ["9-10"], "timezone": "UTC"}, "quiet_hours.windows[0]"),
        ({"windows": ["21:00-08:00", "08:00-08:00"], "timezone": "UTC"}, "quiet_hours.windows[1]"),
        ({"windows": ["21:00-08:00", 8], "timezone": "UTC"}, "quiet_hours.windows[1]"),
        ({"windows": ["24:00-08:00"], "timezone": "UTC"}, "quiet_hours.windows[0]"),
        ({"windows": ["00:00-24:00"], "timezone": "UTC"}, "leave no time"),
        ({"windows": ["21:00-08:00"]}, "quiet_hours.timezone is missing"),
        ({"windows": ["21:00-08:00"], "timezone": "Mars/Olympus"}, "quiet_hours.timezone"),
        ({"windows": ["21:00-08:00"], "timezone": 5}, "quiet_hours.timezone"),
        ({**INDIA, "days": ["monday"]}, "quiet_hours.days"),
        ({**INDIA, "days": []}, "quiet_hours.days"),
        ({**INDIA, "exempt": "high"}, "quiet_hours.exempt"),
        ({**INDIA, "exempt": ["urgent"]}, "quiet_hours.exempt"),
        ({**INDIA, "elsewhere": "yes"}, "quiet_hours.elsewhere"),
        ({**INDIA, "windows_": []}, "windows_"),
    ],
)
def test_it_names_the_member_that_is_wrong(given_hours, named):
    with pytest.raises(ValueError, match="quiet_hours") as raised:
        quiet.parse(given_hours)
    assert named in str(raised.value)


def test_an_equal_that_is_awake_carries_it_and_a_lesser_route_does_not():
    asleep = {1: Hush()}
    assert Table([rule(1), rule(2)], hushes=asleep).choose(request()) == 2
    assert Table([rule(1, priority=1), rule(2)], hushes=asleep).choose(request()) == LATER
    assert Table([rule(1, priority=1), rule(2)]).choose(request()) == 1


def test_elsewhere_lets_a_lesser_route_have_it_or_not_even_an_equal():
    anywhere, nowhere = {1: Hush(elsewhere=True)}, {1: Hush(elsewhere=False)}
    assert Table([rule(1, priority=1), rule(2)], hushes=anywhere).choose(request()) == 2
    assert Table([rule(1), rule(2)], hushes=nowhere).choose(request()) == LATER


def test_equals_that_are_awake_still_fail_over_to_lesser_routes():
    table = Table([rule(1, priority=1), rule(2, priority=1), rule(3)], hushes={1: Hush()})
    assert table.choose(request(), usable=lambda key: key == 3) == 3


def test_a_quiet_operator_that_refused_keeps_no_other_from_the_message():
    table = Table([rule(1, priority=1), rule(2)], hushes={1: Hush()})
    assert table.choose(request(), refused=(1,)) == 2
    assert Table([rule(1)], hushes={1: Hush()}).choose(request(), refused=(1,)) == NO_ROUTE


def test_kinds_of_recipients_and_priorities_are_kept_apart():
    hushes = {1: Hush(zones=frozenset({"Europe/Paris"}), exempt=frozenset({0}))}
    table = Table([rule(1)], hushes=hushes)
    for _twice in range(2):
        assert table.choose(request(PARIS)) == LATER
        assert table.choose(request(PARIS, priority=0)) == 1
        assert table.choose(request(NEW_YORK)) == 1


def around(now: datetime, *, quiet_now: bool) -> dict[str, object]:
    """Quiet hours of an hour or two about the moment, or of some other hours."""
    start = now.replace(minute=0) + timedelta(hours=0 if quiet_now else 6)
    return {"windows": [f"{start:%H:%M}-{start + timedelta(hours=2):%H:%M}"], "timezone": "UTC"}


@pytest.fixture
def _unpublished(monkeypatch):
    monkeypatch.setattr(queues, "publish", lambda **_task: None)


@pytest.fixture
def hours(now):
    """Sets an operator's quiet hours, and has everybody know."""

    def set_(operator, *, quiet_now, **members):
        operator.settings = {"quiet_hours": {**around(now, quiet_now=quiet_now), **members}}
        operator.save()
        operators._cache.stale_at = selection._cache.stale_at = 0.0

    return set_


@pytest.fixture
def operator(make_operator):
    made = make_operator("resting")
    Route.objects.create(operator=made)
    return made


def lanes_of(keys):
    return set(DueMessage.objects.filter(pk__in=keys).values_list("lane", flat=True))


@pytest.mark.django_db
@pytest.mark.usefixtures("_unpublished")
class TestHeld:
    def test_nothing_is_leased_while_it_is_quiet_and_all_in_order_afterwards(self, operator, hours, waiting):
        keys = waiting(operator, 3)
        hours(operator, quiet_now=True)
        relay = Relay()
        assert relay.tick() == 0
        assert lanes_of(keys) == {LATER}
        assert {status_of(key) for key in keys} == {"accepted"}
        hours(operator, quiet_now=False)
        relay._reroute_at = 0.0
        assert relay.tick() + relay.tick() == 3
        order = Delivery.objects.order_by("due_at", "message_id").values_list("message_id", flat=True)
        assert list(order) == sorted(keys)

    def test_exempt_priorities_are_leased(self, operator, hours, waiting):
        waiting(operator, 2, priority=1)
        (urgent,) = waiting(operator, priority=0)
        hours(operator, quiet_now=True, exempt=["high"])
        assert Relay().tick() == 1
        assert Delivery.objects.get().message_id == urgent

    def test_what_is_leased_when_the_hours_begin_waits_without_a_try(self, operator, hours, waiting, now):
        (key,) = waiting(operator)
        Relay().tick()
        row = Delivery.objects.get()
        hours(operator, quiet_now=True)
        assert delivery.take(delivery_ids=[str(row.pk)], worker="w1", now=now) == {}
        assert not Delivery.objects.exists()
        waits = DueMessage.objects.get(pk=key)
        assert (waits.lane, waits.attempts, status_of(key)) == (LATER, 0, "accepted")
        assert list(waits.refused_by) == []

    def test_by_recipient_some_go_and_others_wait(self, operator, hours, waiting, monkeypatch):
        asleep, awake = waiting(operator, recipient=PARIS), waiting(operator, recipient=NEW_YORK)
        hours(operator, quiet_now=True)
        hush = Hush(zones=frozenset({"Europe/Paris"}))
        monkeypatch.setattr(quiet, "hushes", lambda **_now: {operator.pk: hush})
        assert Relay().tick() == 1
        assert Delivery.objects.get().message_id == awake[0]
        assert lanes_of(asleep) == {LATER}

    def test_it_expires_while_it_waits(self, operator, hours, waiting, now):
        (key,) = waiting(operator, expires_at=now + timedelta(seconds=60))
        hours(operator, quiet_now=True)
        Relay().tick()
        assert sweeps.expire(now=now + timedelta(seconds=61)) == 1
        assert status_of(key) == "expired"

    def test_it_can_be_cancelled_and_its_recipient_opt_out_while_it_waits(
        self, operator, hours, waiting, tenants, now
    ):
        mine, theirs = waiting(operator, recipient=PARIS) + waiting(operator, recipient=NEW_YORK)
        hours(operator, quiet_now=True)
        Relay().tick()
        cancellation.cancel(tenant_id=tenants[0].pk, message_id=mine, now=now)
        opt_outs.add(tenant_id=tenants[0].pk, phone=NEW_YORK, sender="", source="api")
        assert (status_of(mine), status_of(theirs)) == ("canceled", "rejected")
        assert not DueMessage.objects.exists()

    def test_new_messages_are_accepted_to_wait_and_the_preview_says_so(self, operator, hours):
        hours(operator, quiet_now=True)
        assert selection.lanes([request()]) == [LATER]
        shown = selection.explain(request())
        assert shown["operator"] is None
        assert shown["reason"].startswith("quiet hours of resting until 20")
        assert [each["state"] for each in shown["alternatives"]] == ["quiet"]

    def test_a_setting_written_past_the_forms_holds_everything(self, operator, hours):
        operator.settings = {"quiet_hours": {"windows": ["x"]}}
        operator.save()
        assert selection.lanes([request()]) == [LATER]

    def test_the_transport_does_not_see_it_and_a_bad_one_is_refused(self, operator):
        wish = provisioning.OperatorWish(slug="resting", settings={"quiet_hours": INDIA})
        changed = provisioning.add_operator(wish=wish, update=True)
        assert "quiet_hours" not in operators.settings_of(changed).settings
        bad = provisioning.OperatorWish(slug="resting", settings={"quiet_hours": {"windows": ["x"]}})
        with pytest.raises(provisioning.ProvisioningError, match=r"quiet_hours\.timezone is missing"):
            provisioning.add_operator(wish=bad, update=True)
