"""Bodies and URLs of callbacks: every format's, every encoding's and the templates'.

From the event and from what of its message never changes, so that every retry is byte-equal; but for ``$retryCount``
in a template.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from webhooks import destinations, messagemedia_signing, targets
from webhooks.destinations import WebhookRow
from webhooks.dispatch import Item
from webhooks.errors import InvalidTarget
from webhooks.formats import encodings, messagemedia, octopush, samples, variables
from webhooks.formats import standard as standard_format
from webhooks.formats.plans import OCTOPUSH, STANDARD, Plan
from webhooks.formats.sources import Details, Source, milliseconds
from webhooks.models import Webhook
from webhooks.targets import Target
from webhooks.velocity import TemplateError

__all__ = ["Details", "Source", "milliseconds", "planned", "sample_item", "standard"]

# The body of a webhook without a plan.
standard = standard_format.render


class Rendered(NamedTuple):
    """``target`` is None where the destination's own will do; ``problem`` says why there is no body."""

    body: bytes
    target: Target | None = None
    problem: str | None = None


def planned(*, plan: Plan, source: Source, details: Details | None, retries: int) -> Rendered:
    """The body and the target as a webhook's plan has them.

    ``details`` as far as the plan needs them for this type of event; ``retries`` is how many attempts came before.
    """
    if plan.broken is not None:
        return Rendered(b"", problem=plan.broken)
    try:
        known = variables.of(source=source, details=details, retries=retries, names=plan.names)
        target = None
        if plan.url is not None:
            target = targets.read(url=plan.url.render(known), method=plan.method, headers=plan.headers)
        if plan.method == "GET":
            return Rendered(b"", target)
        if plan.template is not None:
            return Rendered(plan.template.render(known).encode(), target)
        return Rendered(_body(plan, source, details), target)
    except (TemplateError, InvalidTarget) as error:
        return Rendered(b"", problem=str(error))


def _body(plan: Plan, source: Source, details: Details | None) -> bytes:
    found: Mapping[str, Any] | None = None
    if plan.format == OCTOPUSH:
        found = octopush.body(source, details)
    elif plan.format != STANDARD:
        found = messagemedia.body(source, details or Details(account=""))
    if found is None:
        body = standard(source)
        if plan.encoding == encodings.JSON:
            return body
        found = msgspec.json.decode(body)
        if plan.encoding == encodings.FORM:
            found = {"type": found["type"], "timestamp": found["timestamp"], **found["data"]}
    return encodings.encode(found, encoding=plan.encoding)


def sample_item(webhook: Webhook, event: str) -> Item:
    """A callback of a webhook with sample data of an event, complete, for a test call; its lease is nobody's.

    Raises:
        ValueError: there is no such event.
        InvalidTarget: the webhook's URL or a header cannot be used.
    """
    source = samples.source(event)
    signers = messagemedia_signing.of_tenants(tenant_ids=[webhook.tenant_id])
    destination = destinations.of_webhook(_row(webhook), also_sign=signers.get(webhook.tenant_id))
    rendered = Rendered(b"")
    if destination.plan is None:
        rendered = Rendered(standard(source))
    else:
        details = samples.details(webhook.tenant.slug)
        rendered = planned(plan=destination.plan, source=source, details=details, retries=0)
    return Item(
        callback_id=source.event_id,
        tenant_id=webhook.tenant_id,
        endpoint=str(webhook.pk),
        event_id=source.event_id,
        body=rendered.body,
        destination=destination,
        lease=datetime.now(tz=UTC),
        attempt=0,
        first_attempt_at=None,
        target=rendered.target,
        unrendered=rendered.problem,
    )


def _row(webhook: Webhook) -> WebhookRow:
    previous = webhook.previous_secret
    return WebhookRow(
        id=str(webhook.pk),
        url=webhook.url,
        method=webhook.method,
        encoding=webhook.encoding,
        format=webhook.format,
        template=webhook.template,
        headers=msgspec.json.encode(webhook.headers).decode(),
        failover_url=webhook.failover_url,
        batch_max_events=webhook.batch_max_events,
        batch_max_delay_ms=webhook.batch_max_delay_ms,
        read_timeout=webhook.read_timeout,
        retries=webhook.retries,
        retry_delay=webhook.retry_delay,
        secret=bytes(webhook.secret),
        previous_secret=None if previous is None else bytes(previous),
        previous_secret_until=webhook.previous_secret_until,
        active=webhook.active,
    )
