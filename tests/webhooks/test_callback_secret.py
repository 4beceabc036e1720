"""The secret of messages' own callbackUrl, rotated: both sign for a day, and nobody is shown it again."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from standardwebhooks import Webhook as Oracle
from standardwebhooks import WebhookVerificationError

from gateway import sealing
from gateway.models import Tenant
from gateway.models.tenant import sandbox_of
from tests.fakes.http_listener import Listener
from tests.webhooks.calling import Caller
from tests.webhooks.world import carry, eventually, make_facts
from webhooks import destinations, fanout, signing
from webhooks.destinations import CallbackSecrets
from webhooks.models import Attempt

BASE = "/v1/webhooks/callback-secret"
OWN = "whsec_" + "QUJD" * 10


def rotate(call, body=None):
    return call("post", "/rotate", body, base=BASE)


def opened(tenant_id: int) -> str:
    sealed = Tenant.everything.get(pk=tenant_id).callback_secret
    return sealing.open_(sealed, context=sealing.CONTEXT_TENANT_CALLBACK).decode()


def is_verified(request, secret) -> bool:
    try:
        Oracle(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


@pytest.mark.django_db(transaction=True)
def test_both_secrets_sign_for_a_day_and_then_the_new_one_alone(sending, tenant, call):
    before = tenant.secret
    code, answer = rotate(call)
    assert code == 200
    with Listener() as listener:
        url = listener.url("/own")
        fanout.fan_out(make_facts(tenant, callback_url=url))
        carry()
        eventually(lambda: Attempt.objects.count() == 1)
        Tenant.objects.update(previous_callback_secret_until=datetime.now(tz=UTC) - timedelta(seconds=1))
        fanout.fan_out(make_facts(tenant, callback_url=url))
        carry()
        eventually(lambda: Attempt.objects.count() == 2)
        first, second = listener.requests
    assert is_verified(first, before)
    assert is_verified(first, answer["callbackSecret"])
    assert not is_verified(second, before)
    assert is_verified(second, answer["callbackSecret"])


@pytest.mark.django_db
class TestApi:
    def test_the_new_secret_is_in_this_answer_only(self, call, tenant):
        _code, before = call("get", base=BASE)
        assert before["previousSecretUntil"] is None
        code, answer = rotate(call)
        assert code == 200
        assert opened(tenant.pk) == answer["callbackSecret"] != tenant.secret
        ends = datetime.fromisoformat(answer["previousSecretUntil"]) - datetime.now(tz=UTC)
        assert timedelta(hours=23, minutes=59) < ends <= timedelta(hours=24)
        code, shown = call("get", base=BASE)
        assert (code, shown["previousSecretUntil"]) == (200, answer["previousSecretUntil"])
        assert "whsec_" not in json.dumps(shown)

    def test_a_client_may_bring_its_own(self, call, tenant):
        assert rotate(call, {"secret": OWN})[1]["callbackSecret"] == OWN
        assert opened(tenant.pk) == OWN

    @pytest.mark.parametrize("body", [{"secret": "x"}, {"secret": 5}, {"secret": "whsec_QUJD"}, {"other": 1}])
    def test_a_bad_request_names_the_member_and_changes_nothing(self, call, tenant, body):
        code, answer = rotate(call, body)
        assert (code, answer["details"][0]["field"]) == (400, next(iter(body)))
        assert opened(tenant.pk) == tenant.secret

    def test_the_second_rotation_ends_the_first_ones_overlap(self, call, tenant):
        first = rotate(call)[1]["callbackSecret"]
        second = rotate(call)[1]["callbackSecret"]
        row = Tenant.objects.get(pk=tenant.pk)
        secrets = CallbackSecrets(
            bytes(row.callback_secret),
            bytes(row.previous_callback_secret),
            row.previous_callback_secret_until,
        )
        found = destinations.of_url(url="https://example.com", secrets=secrets)
        assert found.keys(datetime.now(tz=UTC).timestamp()) == [signing.key(second), signing.key(first)]

    def test_it_needs_the_permission_of_webhooks(self, client, tenant):
        code, answer = rotate(Caller(client, tenant, permissions=("messages:send",)))
        assert (code, answer["errorCode"]) == (403, "PERMISSION_DENIED")

    def test_it_leaves_other_tenants_and_the_sandbox_alone(self, call, tenant, other):
        sandbox = Tenant.everything.get(pk=sandbox_of(tenant.pk)).callback_secret
        rotate(call)
        tenant.refresh_from_db()
        tenant.save()
        assert opened(other.pk) == other.secret
        assert Tenant.everything.get(pk=sandbox_of(tenant.pk)).callback_secret == sandbox

    def test_the_sandboxs_is_rotated_by_itself(self, call, tenant):
        _code, answer = rotate_sandbox(call)
        assert opened(sandbox_of(tenant.pk)) == answer["callbackSecret"]
        assert opened(tenant.pk) == tenant.secret


def rotate_sandbox(call):
    response = call._client.post(
        f"{BASE}/rotate",
        content_type="application/json",
        headers={"Authorization": f"Bearer {call._key}", "x-developer-mode": "true"},
    )
    return response.status_code, response.json()


@pytest.mark.django_db
class TestAdmin:
    def test_the_action_shows_the_new_secret_once(self, tenant):
        chief = Client()
        chief.force_login(User.objects.create_superuser("chief"))
        page = reverse("admin:gateway_tenant_changelist")
        answer = chief.post(page, {"action": "rotate_callback_secret", "_selected_action": [tenant.pk]})
        secret = re.search(r"whsec_[\w+/=]+", answer.content.decode())[0]
        assert opened(tenant.pk) == secret != tenant.secret
        assert "no-store" in answer["Cache-Control"]
        shown = chief.get(reverse("admin:gateway_tenant_change", args=[tenant.pk])).content.decode()
        assert secret not in shown
        assert "signs too until" in shown

    def test_the_action_takes_one_tenant_at_a_time(self, tenant, other):
        chief = Client()
        chief.force_login(User.objects.create_superuser("chief"))
        picked = {"action": "rotate_callback_secret", "_selected_action": [tenant.pk, other.pk]}
        chief.post(reverse("admin:gateway_tenant_changelist"), picked)
        assert (opened(tenant.pk), opened(other.pk)) == (tenant.secret, other.secret)
