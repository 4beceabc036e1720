"""What webhooks take besides what MessageMedia's do, and what they refuse."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateway import errors, sealing
from tests.webhooks.calling import BODY
from tests.webhooks.world import make_facts
from webhooks import fanout, holding, signing, subscriptions
from webhooks.models import DueCallback, Endpoint, Webhook
from webhooks.models.due_callback import HELD

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FAILOVER = "http://standby.test/"


def make(call, **members):
    code, made = call("post", body=BODY | members)
    assert code == 201, made
    return made


def refuse(answer, *names):
    code, problem = answer
    assert (code, problem["errorCode"]) == (400, "VALIDATION_FAILED"), problem
    assert {detail["field"] for detail in problem["details"]} == set(names)
    assert "  " not in problem["message"]


def test_it_answers_ours_also_when_they_were_not_given(call):
    made = make(call)
    ours = ("failoverUrl", "batch", "ordered", "circuit", "disabledReason", "disabledAt", "description")
    assert [made[name] for name in ours] == [None, None, False, "closed", None, None, None]


@pytest.mark.parametrize(
    "members",
    [
        {"template": '{"id":"$mtId","status":"$statusCode"}'},
        {"template": "id=$mtId&status=$statusCode", "encoding": "FORM_ENCODED"},
        {"template": "<content><id>$mtId</id></content>", "encoding": "XML"},
        {"method": "GET", "url": "http://a.test/?contentOriginal=$mtContent&c=$moContent"},
        {"method": "DELETE"},
        {"format": "messagemedia", "encoding": "XML"},
        {"format": "octopush"},
        {"format": "octopush", "encoding": "FORM_ENCODED", "read_timeout": 5000},
        {"failoverUrl": "http://standby.test/?id=$mtId"},
        {"ordered": True},
        {"description": "The shop's"},
        {"batch": {"maxEvents": 2, "maxDelayMs": 1}},
        {"batch": {"maxEvents": 1000, "maxDelayMs": 10_000}},
        {"events": ["webhook.disabled"]},
    ],
)
def test_it_keeps_what_it_is_given(call, members):
    made = make(call, **members)
    assert {name: made[name] for name in members} == members
    _code, read = call("get", f"/{made['id']}")
    assert {name: read[name] for name in members} == members


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, None),
        ({"maxEvents": 1}, None),
        ({"maxEvents": 1, "maxDelayMs": 50}, None),
        ({"maxEvents": None}, None),
        ({"maxEvents": 10}, {"maxEvents": 10, "maxDelayMs": 1000}),
        ({"maxDelayMs": 50}, {"maxEvents": 100, "maxDelayMs": 50}),
    ],
)
def test_it_fills_in_what_a_batch_does_not_say(call, given, kept):
    assert make(call, batch=given)["batch"] == kept


BAD = {
    "failover no url": {"failoverUrl": "nowhere"},
    "failover number": {"failoverUrl": 5},
    "failover the same": {"failoverUrl": "http://a.test/", "url": "http://a.test/"},
    "failover variable host": {"failoverUrl": "http://$moContent/"},
    "url variable host": {"url": "http://$moContent/"},
    "template unended": {"template": "#if($status)"},
    "template number": {"template": 5},
    "template long": {"template": "x" * 65_537},
    "description long": {"description": "x" * 65_537},
    "description list": {"description": []},
    "batch list": {"batch": []},
    "batch number": {"batch": 5},
    "batch unknown": {"batch": {"max_events": 5}},
    "batch none": {"batch": {"maxEvents": 0}},
    "batch many": {"batch": {"maxEvents": 1001}},
    "batch true": {"batch": {"maxEvents": True}},
    "batch text": {"batch": {"maxEvents": "5"}},
    "batch never": {"batch": {"maxEvents": 5, "maxDelayMs": 10_001}},
    "batch at once": {"batch": {"maxEvents": 5, "maxDelayMs": 0}},
    "ordered text": {"ordered": "yes"},
    "policy other": {"retryPolicy": "linear"},
    "policy list": {"retryPolicy": ["fixed"]},
    "secret bare": {"secret": SECRET.removeprefix("whsec_")},
    "secret short": {"secret": "whsec_c2hvcnQ="},
    "secret long": {"secret": "whsec_" + "AAAA" * 22},
    "secret no base64": {"secret": "whsec_" + "*" * 32},
    "secret not ascii": {"secret": "whsec_" + "é" * 32},
    "secret number": {"secret": 5},
    "secret empty": {"secret": ""},
}


@pytest.mark.parametrize("name", BAD)
def test_it_refuses_a_bad_member_and_stores_nothing(call, name):
    refuse(call("post", body=BODY | BAD[name]), *BAD[name])
    assert not Webhook.objects.exists()


CLASHES = [
    {"batch": {"maxEvents": 2}, "template": "x"},
    {"batch": {"maxEvents": 2}, "method": "GET"},
    {"batch": {"maxEvents": 2}, "method": "DELETE"},
    {"batch": {"maxEvents": 2}, "encoding": "XML"},
    {"batch": {"maxEvents": 2}, "encoding": "FORM_ENCODED"},
    {"batch": {"maxEvents": 2}, "format": "messagemedia"},
    {"batch": {"maxEvents": 2}, "format": "octopush"},
    {"batch": {"maxEvents": 2}, "ordered": True},
    {"format": "octopush", "method": "PUT"},
    {"format": "octopush", "encoding": "XML"},
    {"format": "octopush", "template": "x"},
]


@pytest.mark.parametrize("members", CLASHES, ids=[" and ".join(members) for members in CLASHES])
def test_it_refuses_what_does_not_go_together(call, members):
    refuse(call("post", body=BODY | members), *members)
    assert not Webhook.objects.exists()
    one, other = members
    made = make(call, **{one: members[one]})
    refuse(call("patch", f"/{made['id']}", {other: members[other]}), other)
    _code, read = call("get", f"/{made['id']}")
    assert read | {"requestId": ""} == {name: made[name] for name in read} | {"requestId": ""}


def test_it_refuses_a_failover_that_becomes_the_url(call):
    made = make(call, failoverUrl=FAILOVER)
    refuse(call("patch", f"/{made['id']}", {"url": FAILOVER}), "url")


def test_it_takes_away_what_is_emptied_and_leaves_what_is_null(call):
    given = {"failoverUrl": FAILOVER, "description": "x", "batch": {"maxEvents": 5, "maxDelayMs": 20}}
    made = make(call, **given)
    _code, left = call("patch", f"/{made['id']}", dict.fromkeys(given) | {"ordered": False, "template": None})
    assert {name: left[name] for name in given} == given
    _code, emptied = call("patch", f"/{made['id']}", {"failoverUrl": "", "description": "", "batch": {}})
    assert [emptied[name] for name in given] == [None, None, None]
    _code, templated = call("patch", f"/{made['id']}", {"template": "$mtId"})
    assert templated["template"] == "$mtId"
    assert "template" not in call("patch", f"/{made['id']}", {"template": ""})[1]
    assert "template" not in make(call, url="http://b.test/", template="")


@pytest.mark.parametrize(
    ("given", "policy", "retries"),
    [
        ({}, "exponential", 0),
        ({"retries": 0}, "fixed", 0),
        ({"retries": 2}, "fixed", 2),
        ({"retries": 2, "retryPolicy": "fixed"}, "fixed", 2),
        ({"retryPolicy": "exponential"}, "exponential", 0),
        ({"retryPolicy": "exponential", "retries": 0}, "exponential", 0),
    ],
)
def test_it_is_fixed_as_soon_as_retries_are_given(call, given, policy, retries):
    made = make(call, **given)
    assert (made["retryPolicy"], made["retries"], "retry_delay" in made) == (
        policy,
        retries,
        policy == "fixed",
    )


def test_it_refuses_a_policy_that_the_retries_belie(call):
    refuse(call("post", body=BODY | {"retryPolicy": "exponential", "retries": 2}), "retryPolicy", "retries")
    refuse(call("post", body=BODY | {"retryPolicy": "fixed"}), "retries")


def test_it_makes_a_webhook_anew_from_what_it_shows_of_one(call):
    made = make(call, batch={"maxEvents": 5})
    again = make(call, **made | {"url": "http://b.test/", "id": None})
    assert {name for name in made if made[name] != again[name]} == {"id", "url", "createdAt", "requestId"}


def plain(sealed):
    return sealing.open_(sealed, context=sealing.CONTEXT_WEBHOOK_SECRET).decode()


def test_it_takes_a_secret_of_the_client_s(call):
    assert make(call, secret=SECRET)["secret"] == SECRET
    assert plain(Webhook.objects.get().secret) == SECRET
    longest = "whsec_" + "AAAA" * 21 + "AA=="
    assert make(call, url="http://b.test/", secret=longest)["secret"] == longest


def test_it_rotates_the_secret_and_lets_the_last_one_sign_for_a_day(call):
    made = make(call)
    code, first = call("post", f"/{made['id']}/rotate-secret")
    assert code == 200
    assert first["secret"] not in {made["secret"], None}
    assert (first["id"], first["url"]) == (made["id"], made["url"])
    until = datetime.fromisoformat(first["previousSecretUntil"]) - datetime.now(tz=UTC)
    assert 86_300 < until.total_seconds() <= 86_400
    _code, second = call("post", f"/{made['id']}/rotate-secret/", {"secret": SECRET})
    assert second["secret"] == SECRET
    webhook = Webhook.objects.get()
    assert (plain(webhook.secret), plain(webhook.previous_secret)) == (SECRET, first["secret"])
    assert not {"secret", "previousSecretUntil"} & call("get", f"/{made['id']}")[1].keys()


def test_it_rotates_to_no_secret_that_is_none(call):
    made = make(call, secret=SECRET)
    refuse(call("post", f"/{made['id']}/rotate-secret", {"secret": "whsec_x"}), "secret")
    refuse(call("post", f"/{made['id']}/rotate-secret", {"secrets": SECRET}), "secrets")
    assert plain(Webhook.objects.get().secret) == SECRET
    assert Webhook.objects.get().previous_secret is None


def test_it_rotates_nobody_else_s_secret(call, stranger):
    made = make(call)
    assert stranger("post", f"/{made['id']}/rotate-secret")[0] == 404
    assert Webhook.objects.get().previous_secret is None


def open_circuit(made, tenant):
    Endpoint.objects.create(
        id=made["id"], tenant_id=tenant.pk, cap=2, opened_at=datetime.now(tz=UTC), paused_until=HELD
    )


def test_it_says_that_a_circuit_is_open_in_one_query_for_a_page(call, tenant, django_assert_num_queries):
    made = [make(call, url=f"http://{name}.test/") for name in "abc"]
    open_circuit(made[1], tenant)
    with django_assert_num_queries(count_of_queries(call)):
        listed = call("get")[1]["pageData"]
    assert [one["circuit"] for one in listed] == ["closed", "open", "closed"]
    assert call("get", f"/{made[1]['id']}")[1]["circuit"] == "open"


def count_of_queries(call):
    with CaptureQueriesContext(connection) as queries:
        call("get", "?pageSize=1")
    return len(queries)


@pytest.mark.parametrize(
    ("change", "circuit"),
    [
        ({"url": "http://mended.test/"}, "closed"),
        ({"headers": {"authorization": "Bearer right"}}, "closed"),
        ({"active": True}, "closed"),
        ({"url": BODY["url"]}, "open"),
        ({"events": ["message.read"]}, "open"),
        ({"description": "x"}, "open"),
    ],
)
def test_it_tries_a_mended_endpoint_at_once(call, tenant, change, circuit):
    made = make(call)
    open_circuit(made, tenant)
    assert call("patch", f"/{made['id']}", change)[1]["circuit"] == circuit


def test_it_overwrites_nothing_that_happened_since_it_was_read(call):
    made = make(call)
    webhook = Webhook.objects.get()
    holding.disable(webhook_id=made["id"], reason="Gone.")
    subscriptions.change(webhook=webhook, members={"description": "x"})
    webhook.refresh_from_db()
    assert (webhook.active, webhook.disabled_reason, webhook.description) == (False, "Gone.", "x")
    webhook.delete()
    with pytest.raises(errors.NotFound):
        subscriptions.change(
            webhook=Webhook(pk=made["id"], tenant_id=webhook.tenant_id), members={"active": True}
        )


def test_it_leaves_what_is_held_where_it_is_when_an_inactive_webhook_is_mended(call, tenant):
    made = make(call, active=False)
    fanout.fan_out(make_facts(tenant))
    _code, changed = call("patch", f"/{made['id']}", {"url": "http://mended.test/"})
    assert not changed["active"]
    assert DueCallback.objects.get().next_attempt_at == HELD


def test_it_signs_with_keys_that_the_secrets_stand_for(call):
    made = make(call)
    assert len(signing.key(made["secret"])) == 32
