"""Keys that seal secrets are replaced while the system runs."""

import base64
import io
import json

import pytest
from django.core.management import CommandError, call_command

from gateway import keys, sealing
from gateway.models import ApiKey, Tenant
from routing.models import Operator
from tests.factories import Caller, make_tenant
from webhooks.models import SignatureKey, Webhook

NEW, OLD, OLDER = b"n" * 32, b"o" * 32, b"p" * 32

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> dict:
    out = io.StringIO()
    call_command("rotate_encryption_key", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def sealed_values() -> dict[str, list[bytes]]:
    return {str(column): [value for _, value in sealing._values(column)] for column in sealing.columns()}


@pytest.fixture
def installation(settings) -> Caller:
    """Every kind of sealed value, under one key or the other."""
    settings.ENCRYPTION_KEYS = [OLDER]
    caller = Caller(make_tenant("acme"))
    settings.ENCRYPTION_KEYS = [OLD, OLDER]
    Caller(caller.tenant, name="second")
    Operator.objects.create(
        slug="one",
        transport="simulator",
        secrets=sealing.seal(b'{"password": "x"}', context=sealing.CONTEXT_OPERATOR_SECRETS),
    )
    Operator.objects.create(slug="two", transport="simulator", secrets=None)
    Webhook.objects.create(
        tenant=caller.tenant,
        url="https://example.com/",
        method="POST",
        encoding="JSON",
        events=["message.sent"],
        secret=sealing.seal(b"one", context=sealing.CONTEXT_WEBHOOK_SECRET),
        previous_secret=sealing.seal(b"two", context=sealing.CONTEXT_WEBHOOK_SECRET),
    )
    private = sealing.seal(b"three", context=sealing.CONTEXT_SIGNATURE_KEY)
    SignatureKey.objects.create(tenant=caller.tenant, digest="SHA256", public_key="", private_key=private)
    settings.ENCRYPTION_KEYS = [NEW, OLD, OLDER]
    return caller


def test_seals_everything_anew(installation, settings):
    before = sealed_values()
    report = run()
    tables = {
        line["table"]: (line["values"], line["resealed"], line["unreadable"]) for line in report["tables"]
    }
    sandboxed = Operator.objects.exclude(secrets=None).count()
    assert tables == {
        "gateway_apikey.secret": (2, 2, 0),
        "gateway_tenant.callback_secret": (tables["gateway_tenant.callback_secret"][0],) * 2 + (0,),
        "gateway_tenant.previous_callback_secret": (0, 0, 0),
        "routing_operator.secrets": (sandboxed, sandboxed, 0),
        "webhooks_signaturekey.private_key": (1, 1, 0),
        "webhooks_webhook.previous_secret": (1, 1, 0),
        "webhooks_webhook.secret": (1, 1, 0),
    }
    assert tables["gateway_tenant.callback_secret"][0] >= 2, "the sandbox's too"
    assert report["unused"] == sealing.names()[1:]
    assert [key["first"] for key in report["keys"]] == [True, False, False]
    assert report["keys"][0]["values"] == sum(len(values) for values in before.values())
    settings.ENCRYPTION_KEYS = [NEW]
    keys.forget()
    assert keys.find(installation.api_key).has_secret(installation.api_secret)
    tenant = Tenant.everything.get(pk=-installation.tenant.pk)
    assert sealing.open_(tenant.callback_secret, context=sealing.CONTEXT_TENANT_CALLBACK)
    hook = Webhook.objects.for_tenant(installation.tenant.pk).get()
    opened = [
        sealing.open_(value, context=sealing.CONTEXT_WEBHOOK_SECRET)
        for value in (hook.secret, hook.previous_secret)
    ]
    assert opened == [b"one", b"two"]


def test_does_nothing_the_second_time(installation):
    run()
    before = sealed_values()
    assert all(line["resealed"] == 0 for line in run()["tables"])
    assert sealed_values() == before


def test_goes_batch_by_batch(installation, monkeypatch):
    monkeypatch.setattr(sealing, "_BATCH", 1)
    assert run()["unused"] == sealing.names()[1:]


def test_names_the_keys_still_in_use(installation, settings):
    settings.ENCRYPTION_KEYS = [OLD, OLDER, NEW]
    report = run()
    assert report["unused"] == sealing.names()[1:]
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    ApiKey.objects.update(secret=sealing.seal(b"x", context=sealing.CONTEXT_KEY_SECRET))
    in_use = {key["name"]: key["values"] for key in run()["keys"]}
    assert in_use[sealing.names()[1]] == 0


def test_leaves_alone_what_changed_meanwhile(installation, monkeypatch):
    newer = sealing.seal(b"newer", context=sealing.CONTEXT_KEY_SECRET)
    open_ = sealing.open_

    def interrupted(value, *, context):
        if context == sealing.CONTEXT_KEY_SECRET:
            ApiKey.objects.update(secret=newer)
        return open_(value, context=context)

    monkeypatch.setattr(sealing, "open_", interrupted)
    run()
    assert {bytes(value) for value in ApiKey.objects.values_list("secret", flat=True)} == {newer}


def test_reports_what_does_not_open_and_goes_on(installation, settings):
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"gateway_apikey\.secret.*ENCRYPTION_KEYS"):
        call_command("rotate_encryption_key", "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert sum(line["unreadable"] for line in report["tables"]) >= 2
    assert report["unused"] == sealing.names()[1:]
    settings.ENCRYPTION_KEYS = [NEW, OLDER]
    keys.forget()
    assert keys.find(installation.api_key).has_secret(installation.api_secret)


def test_tells_people_too(installation):
    out = io.StringIO()
    call_command("rotate_encryption_key", stdout=out)
    assert "gateway_apikey.secret: 2 sealed anew, 2 in all" in out.getvalue()
    assert f"unused: {', '.join(sealing.names()[1:])}" in out.getvalue()


def test_makes_a_fresh_key_and_changes_nothing(installation, settings):
    before = sealed_values()
    made = run("--generate")
    assert sealed_values() == before
    settings.ENCRYPTION_KEYS = [base64.b64decode(made["key"])]
    assert sealing.names() == [made["name"]]
    assert len(made["steps"]) == 4
    out = io.StringIO()
    call_command("rotate_encryption_key", "--generate", stdout=out)
    assert made["key"] not in out.getvalue()
    assert "1. put the key last" in out.getvalue()
