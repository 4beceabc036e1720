"""Replays over HTTP; what they do is test_replay's."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway import ids
from tests.webhooks.calling import REPLAYS
from tests.webhooks.world import make_webhook
from webhooks import replays
from webhooks.models import Callback, Replay

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(tenant):
    return make_webhook(tenant)


def moment(hours):
    """So many hours ago."""
    at = datetime.now(tz=UTC) - timedelta(hours=hours)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make_dead(hook, hours):
    return Callback.objects.create(
        id=ids.floor(datetime.now(tz=UTC) - timedelta(hours=hours)),
        tenant_id=hook.tenant_id,
        endpoint=hook.pk,
        state="dead",
        event_id=ids.one(),
        message_id=ids.one(),
        type="message.delivered",
    )


@pytest.mark.parametrize("slash", ["", "/"])
def test_it_begins_a_replay_and_tells_how_far_it_has_come(call, hook, slash):
    old, recent = make_dead(hook, 3), make_dead(hook, 1)
    asked = {"since": moment(2), "until": moment(0), "only": "failed"}
    code, begun = call("post", f"/{hook.pk}/replay{slash}", asked)
    assert code == 202
    assert {name: begun[name] for name in asked} == asked
    assert (begun["webhookId"], begun["state"], begun["endedAt"]) == (str(hook.pk), "running", None)
    assert (begun["examined"], begun["replayed"]) == (0, 0)
    replays.step()
    code, done = call("get", f"/{begun['id']}", base=REPLAYS)
    assert (code, done["state"], done["examined"], done["replayed"]) == (200, "done", 1, 1)
    assert done["endedAt"].endswith("Z")
    for callback, state in ((old, "dead"), (recent, "open")):
        callback.refresh_from_db()
        assert callback.state == state


@pytest.mark.parametrize("body", [None, {}, {"since": None, "until": None, "only": None}])
def test_it_is_the_last_day_s_failures_when_nothing_else_is_said(call, hook, body):
    code, begun = call("post", f"/{hook.pk}/replay", body)
    assert (code, begun["only"]) == (202, "failed")
    since, until = (datetime.fromisoformat(begun[name]) for name in ("since", "until"))
    assert until - since == timedelta(days=1)
    assert datetime.now(tz=UTC) - until < timedelta(seconds=20)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"since": "yesterday"}, "since"),
        ({"since": 5}, "since"),
        ({"since": "2026-11-01T00:00:00"}, "since"),
        ({"since": "1999-01-01T00:00:00Z"}, "since"),
        ({"until": "2999-01-01T00:00:00Z", "since": "2998-12-31T23:00:00Z"}, "until"),
        ({"since": moment(1), "until": moment(2)}, "since"),
        ({"only": "some"}, "only"),
        ({"only": ["all"]}, "only"),
        ({"form": 1}, "form"),
    ],
)
def test_it_refuses_a_span_that_is_none(call, hook, body, field):
    code, answer = call("post", f"/{hook.pk}/replay", body)
    assert code == 400
    assert field in {detail["field"] for detail in answer["details"]}
    assert not Replay.objects.exists()


def test_it_runs_one_at_a_time(call, hook):
    call("post", f"/{hook.pk}/replay")
    code, answer = call("post", f"/{hook.pk}/replay")
    assert (code, answer["errorCode"]) == (409, "REPLAY_RUNNING")


def test_it_lists_a_webhook_s_replays_from_the_newest_on(call, tenant, hook):
    made = []
    for _ in range(3):
        made.append(call("post", f"/{hook.pk}/replay")[1]["id"])
        replays.step()
    other = make_webhook(tenant, "http://127.0.0.1:9/other")
    call("post", f"/{other.pk}/replay")
    code, page = call("get", f"/{hook.pk}/replays?limit=2")
    assert (code, [line["id"] for line in page["data"]]) == (200, made[:0:-1])
    _code, rest = call("get", f"/{hook.pk}/replays/?limit=2&cursor={page['nextCursor']}")
    assert ([line["id"] for line in rest["data"]], rest["nextCursor"]) == (made[:1], None)


def test_it_cancels_one_that_runs_and_none_that_has_ended(call, hook):
    make_dead(hook, 1)
    _code, begun = call("post", f"/{hook.pk}/replay")
    code, canceled = call("post", f"/{begun['id']}/cancel", base=REPLAYS)
    assert (code, canceled["state"], bool(canceled["endedAt"])) == (200, "canceled", True)
    assert replays.step() == 0
    code, answer = call("post", f"/{begun['id']}/cancel", base=REPLAYS)
    assert (code, answer["errorCode"]) == (409, "REPLAY_ENDED")


def test_it_shows_a_tenant_only_its_own(call, stranger, hook):
    _code, begun = call("post", f"/{hook.pk}/replay")
    assert stranger("post", f"/{hook.pk}/replay")[0] == 404
    assert stranger("get", f"/{hook.pk}/replays")[0] == 404
    assert stranger("get", f"/{begun['id']}", base=REPLAYS)[0] == 404
    assert stranger("post", f"/{begun['id']}/cancel", base=REPLAYS)[0] == 404
    assert stranger("get", "/nope", base=REPLAYS)[0] == 404
    assert Replay.objects.get().state == "running"
