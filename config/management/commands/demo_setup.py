"""``manage.py demo_setup``: the tenant, key, operator, route and webhook that ``make run`` shows off with."""

import base64
import json
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from config import env
from gateway import keys, sealing
from gateway.models import ApiKey, Tenant
from routing.models import Operator, Route
from webhooks.models import Webhook

SLUG = "demo"
PASSWORD = "demo"  # noqa: S105 - the simulator's, on loopback
EVENTS = ["message.delivered", "message.failed", "message.expired", "message.rejected"]


class Command(BaseCommand):
    help = "Make, or bring up to date, the demo tenant with its key, operator, route and webhook."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--smsc-port", type=int, required=True, help="the simulator's port")
        parser.add_argument("--callback-url", required=True, help="where the demo's listener is")
        parser.add_argument("--new-key", action="store_true", help="issue another key: the last one is lost")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        secret = env.demo_webhook_secret()
        if not secret:
            raise CommandError("DEMO_WEBHOOK_SECRET is not set; `make run` sets it.")
        with transaction.atomic():
            tenant = _tenant()
            api_key, api_secret = _key(tenant, new=options["new_key"])
            _operator(options["smsc_port"])
            _webhook(tenant, options["callback_url"], secret)
        shown = {"tenant": tenant.slug, "operator": SLUG, "apiKey": api_key, "apiSecret": api_secret}
        self.stdout.write(json.dumps(shown) if options["json"] else f"The demo is set up: {shown}")


def _tenant() -> Tenant:
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
    tenant, _made = Tenant.objects.get_or_create(
        slug=SLUG,
        defaults={
            "name": "Demo",
            "callback_secret": sealing.seal(secret.encode(), context=sealing.CONTEXT_TENANT_CALLBACK),
        },
    )
    return tenant


def _key(tenant: Tenant, *, new: bool) -> tuple[str | None, str | None]:
    """A fresh key when there is none or the last one is lost: keys are shown once."""
    count = ApiKey.objects.filter(tenant=tenant).count()
    if count and not new:
        return None, None
    return keys.issue(tenant=tenant, name=f"{SLUG}-{count + 1}")


def _operator(port: int) -> None:
    wanted = {
        "host": "127.0.0.1",
        "port": port,
        "system_id": SLUG,
        "window": 100,
        # The simulator may be up a moment after the worker.
        "reconnect_min_seconds": 0.2,
        "reconnect_max_seconds": 2,
    }
    operator = Operator.objects.filter(slug=SLUG).first()
    if operator is None:
        operator = Operator(slug=SLUG, name="Demo (SMSC simulator)", transport="smpp")
        operator.secrets = sealing.seal(
            json.dumps({"password": PASSWORD}).encode(), context=sealing.CONTEXT_OPERATOR_SECRETS
        )
    if operator.settings != wanted:
        operator.settings = wanted
        operator.save()
    Route.objects.get_or_create(operator=operator, tenant_id=None, channel="sms", prefix="")


def _webhook(tenant: Tenant, url: str, secret: str) -> None:
    """The port of the listener may be another than the last time."""
    webhook = Webhook.objects.filter(tenant=tenant, description=SLUG).first() or Webhook(
        tenant=tenant, description=SLUG, method="POST", encoding="JSON", events=EVENTS
    )
    webhook.url = url
    webhook.secret = sealing.seal(secret.encode(), context=sealing.CONTEXT_WEBHOOK_SECRET)
    webhook.save()
