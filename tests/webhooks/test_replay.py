from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings

from gateway import errors, ids
from tests.webhooks.outcomes_of import BROKEN, OK, Process
from tests.webhooks.world import make_facts, make_webhook
from webhooks import fanout, history, holding, replays
from webhooks.models import Attempt, Callback, DueCallback, Replay, Webhook
from webhooks.models.due_callback import HELD

pytestmark = pytest.mark.django_db


@pytest.fixture
def process():
    return Process()


@pytest.fixture
def hook(tenant):
    return make_webhook(tenant, retries=0, retry_delay=5)


def make_callbacks(tenant, process, *outcomes):
    """One callback each that ended this way, in this order; None: it still waits."""
    for outcome in outcomes:
        fanout.fan_out(make_facts(tenant))
        if outcome is not None:
            process.attempt(outcome)


def span():
    """The last five minutes."""
    now = datetime.now(tz=UTC)
    return {"since": now - timedelta(minutes=5), "until": now}


def start(hook, only="failed", **more):
    times = span() | more
    return replays.start(tenant_id=hook.tenant_id, webhook=hook, only=only, **times)


@pytest.fixture(autouse=True)
def _earlier(monkeypatch):
    """Callbacks are made a minute ago, in order."""
    real = fanout.ids.texts

    def texts(count):
        return [f"{int(key, 16) - (60_000 << 80):032x}" for key in real(count)]

    monkeypatch.setattr(fanout.ids, "texts", texts)


def states():
    return [row.state for row in Callback.objects.order_by("id")]


def test_it_sends_those_again_that_were_given_up_and_counts_on(tenant, process, hook):
    make_callbacks(tenant, process, BROKEN, OK, BROKEN, None)
    assert states() == ["dead", "delivered", "dead", "open"]
    replay = start(hook)
    assert replays.step() == 4
    replay.refresh_from_db()
    assert (replay.state, replay.looked_at, replay.replayed) == ("done", 4, 2)
    assert replay.ended_at is not None
    assert states() == ["open", "delivered", "open", "open"]
    again = DueCallback.objects.filter(base=1)
    assert [(row.attempt, row.first_attempt_at, row.leased) for row in again] == [(0, None, False)] * 2
    assert len(process.attempt(OK)) == 3
    assert set(states()) == {"delivered"}
    assert sorted(Attempt.objects.values_list("number", flat=True)) == [1, 1, 1, 1, 2, 2]
    assert {row.attempts for row in Callback.objects.all()} == {1, 2}


def test_it_sends_all_again_under_the_same_event_id_but_what_is_on_its_way(tenant, process, hook):
    make_callbacks(tenant, process, OK, BROKEN)
    events = set(Callback.objects.values_list("event_id", flat=True))
    make_callbacks(tenant, process, None)
    start(hook, "all")
    replays.step()
    items = process.attempt(OK)
    assert {item.event_id for item in items} >= {str(event) for event in events}
    assert len(items) == 3


def test_it_begins_the_schedule_anew(tenant, process, hook):
    make_callbacks(tenant, process, BROKEN)
    Webhook.objects.update(retries=1)
    start(hook)
    replays.step()
    process.attempt(BROKEN)
    assert states() == ["open"]
    assert DueCallback.objects.get().attempt == 1


def test_it_keeps_to_its_span_and_its_webhook(tenant, process, hook):
    make_webhook(tenant, "http://127.0.0.1:9/beside", retries=0, retry_delay=5)
    make_callbacks(tenant, process, BROKEN)
    now = datetime.now(tz=UTC)
    start(hook, since=now - timedelta(seconds=30), until=now)
    replays.step()
    assert set(states()) == {"dead"}
    start(hook)
    replays.step()
    assert sorted(states()) == ["dead", "open"]


def test_it_goes_step_by_step_and_where_it_was(tenant, process, hook, monkeypatch):
    monkeypatch.setattr(replays, "STEP", 2)
    make_callbacks(tenant, process, *[BROKEN] * 5)
    replay = start(hook)
    seen = []
    while replays.step():
        replay.refresh_from_db()
        seen.append((replay.looked_at, replay.replayed, replay.state))
    assert seen == [(2, 2, "running"), (4, 4, "running"), (5, 5, "done")]


def test_it_has_done_nothing_of_a_step_that_breaks_off(tenant, process, hook, monkeypatch):
    make_callbacks(tenant, process, BROKEN, BROKEN)
    start(hook)

    def die(*_arguments, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(replays, "_note", die)
        with pytest.raises(KeyboardInterrupt):
            replays.step()
    assert states() == ["dead", "dead"]
    assert not DueCallback.objects.exists()
    assert replays.step() == 2
    assert states() == ["open", "open"]


def test_it_pauses_while_too_many_wait(tenant, process, hook, monkeypatch):
    monkeypatch.setattr(replays, "MOST_WAITING", 3)
    make_callbacks(tenant, process, *[BROKEN] * 5)
    replay = start(hook)
    assert replays.step() == 3
    assert replays.step() == 0
    replay.refresh_from_db()
    assert replay.state == "running"
    process.attempt(OK)
    assert replays.step() == 2


def test_it_holds_what_is_replayed_to_an_inactive_webhook(tenant, process, hook):
    make_callbacks(tenant, process, BROKEN)
    holding.disable(webhook_id=hook.pk, reason="Test.")
    start(hook)
    replays.step()
    assert states() == ["held"]
    due = DueCallback.objects.get()
    assert (due.next_attempt_at, due.base) == (HELD, 1)
    assert holding.sweep(now=datetime.now(tz=UTC) + timedelta(days=6, hours=23)) == 0
    holding.resume(endpoint=hook.pk)
    Webhook.objects.update(active=True)
    process.attempt(OK)
    assert states() == ["delivered"]


def test_it_ends_one_replay_before_the_next(tenant, process, hook):
    start(hook)
    with pytest.raises(replays.ReplayRunning):
        start(hook)
    replays.step()
    start(hook)
    assert Replay.objects.count() == 2


@pytest.mark.parametrize(
    ("field", "times", "only"),
    [
        ("until", {"until": timedelta(minutes=2)}, "all"),
        ("since", {"since": timedelta(), "until": timedelta(seconds=-1)}, "all"),
        ("since", {"since": timedelta(days=-settings.RETENTION_DAYS, minutes=-1)}, "all"),
        ("only", {}, "some"),
    ],
)
def test_it_refuses_what_cannot_be_replayed(hook, field, times, only):
    now = datetime.now(tz=UTC)
    with pytest.raises(errors.Invalid) as caught:
        start(hook, only, **{name: now + delta for name, delta in times.items()})
    assert [detail.field for detail in caught.value.details] == [field]
    assert not Replay.objects.exists()


def test_it_takes_a_clock_that_is_a_little_fast_for_now(hook):
    replay = start(hook, until=datetime.now(tz=UTC) + timedelta(seconds=30))
    assert replay.until <= datetime.now(tz=UTC)


def test_it_ends_when_it_is_canceled(tenant, other, process, hook, monkeypatch):
    monkeypatch.setattr(replays, "STEP", 1)
    make_callbacks(tenant, process, BROKEN, BROKEN)
    replay = start(hook)
    replays.step()
    with pytest.raises(errors.NotFound):
        replays.cancel(tenant_id=other.pk, replay_id=replay.pk)
    ended = replays.cancel(tenant_id=tenant.pk, replay_id=replay.pk)
    assert (ended.state, ended.replayed) == ("canceled", 1)
    assert ended.ended_at is not None
    assert replays.step() == 0
    assert states() == ["open", "dead"]
    with pytest.raises(replays.ReplayEnded):
        replays.cancel(tenant_id=tenant.pk, replay_id=replay.pk)


def test_it_retries_one(tenant, process, hook):
    make_callbacks(tenant, process, OK)
    callback = Callback.objects.get()
    replays.retry(tenant_id=tenant.pk, callback_id=callback.pk)
    assert states() == ["open"]
    assert history.timeline(tenant.pk, callback.message_id)[0]["type"] == "callback.delivered"
    (item,) = process.attempt(BROKEN)
    assert item.event_id == str(callback.event_id)
    assert states() == ["dead"]
    (line,) = history.timeline(tenant.pk, callback.message_id)
    assert (line["type"], line["data"]["attempts"]) == ("callback.dead", 2)


def test_it_makes_one_that_waits_due_now_and_does_not_count_on(tenant, process):
    make_webhook(tenant)
    make_callbacks(tenant, process, BROKEN)
    assert process.attempt(OK) == []
    replays.retry(tenant_id=tenant.pk, callback_id=Callback.objects.get().pk)
    due = DueCallback.objects.get()
    assert (due.base, due.attempt) == (0, 1)
    assert len(process.attempt(OK)) == 1


def test_it_leaves_one_alone_that_is_in_hand(tenant, process, hook):
    make_callbacks(tenant, process, None)
    DueCallback.objects.update(
        leased=True, next_attempt_at=(lease := datetime.now(tz=UTC) + timedelta(seconds=9))
    )
    replays.retry(tenant_id=tenant.pk, callback_id=Callback.objects.get().pk)
    assert DueCallback.objects.get().next_attempt_at == lease


def test_it_retries_one_to_a_messages_own_url(tenant, process):
    fanout.fan_out(make_facts(tenant, callback_url="http://127.0.0.1:9/own"))
    process.attempt(OK)
    replays.retry(tenant_id=tenant.pk, callback_id=Callback.objects.get().pk)
    assert len(process.attempt(OK)) == 1


def test_it_says_that_a_removed_webhook_cannot_be_called(tenant, process, hook):
    make_callbacks(tenant, process, BROKEN)
    hook.delete()
    with pytest.raises(replays.WebhookGone):
        replays.retry(tenant_id=tenant.pk, callback_id=Callback.objects.get().pk)
    assert states() == ["dead"]


def test_it_knows_no_other_tenants_callback_nor_webhook(tenant, other, process, hook):
    make_callbacks(tenant, process, BROKEN)
    for key in (Callback.objects.get().pk, ids.one()):
        with pytest.raises(errors.NotFound):
            replays.retry(tenant_id=other.pk, callback_id=key)
    with pytest.raises(errors.NotFound):
        replays.start(tenant_id=other.pk, webhook=hook, only="all", **span())
    assert states() == ["dead"]
