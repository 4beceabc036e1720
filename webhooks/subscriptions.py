"""Making, changing and removing webhooks. Nothing is resolved or called here: addresses are checked at delivery."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from gateway import errors, sealing
from gateway.errors import Detail
from webhooks import holding, terms
from webhooks.models import Endpoint, Webhook

# How long a secret signs beside the one that took its place.
OVERLAP = timedelta(hours=24)
# Columns whose change may mend what made an endpoint fail.
_MENDING = ("url", "failover_url", "method", "encoding", "headers", "format", "template")


class AlreadyExists(errors.Conflict):
    code = "WEBHOOK_EXISTS"
    message = "A webhook with the given url and method already exists."
    action = "Change the existing webhook, or remove it first."


def create(*, tenant_id: int, members: Mapping[str, Any]) -> tuple[Webhook, str]:
    """A new webhook from a request's members (contract §2; null is absent, unknown ones are ignored).

    Returns:
        The webhook and its signing secret in the clear, to be shown this once.

    Raises:
        errors.Invalid: a member is missing or wrong, or some do not go together.
        AlreadyExists: the tenant has one with this URL and method.
    """
    given = _given(members)
    values, wrong = terms.read(given)
    times, untimely = terms.schedule(given)
    secret, insecure = terms.secret(given)
    _refuse([*terms.missing(given), *wrong, *untimely, *insecure])
    webhook = Webhook(tenant_id=tenant_id, secret=_sealed(secret), **values, **times)
    _refuse(terms.clashes(webhook, given=given))
    _switch(webhook)
    try:
        with transaction.atomic():
            webhook.save(force_insert=True)
    except IntegrityError as error:
        raise AlreadyExists from error
    return webhook, secret


def change(*, webhook: Webhook, members: Mapping[str, Any]) -> Webhook:
    """Set the members given, the others stay; null is not given, and at least one must be.

    A webhook made inactive has its callbacks held, one made active gets those held now. One that is mended, by
    another URL say, or said to be active once more, is tried again at once.

    Raises:
        errors.Invalid, AlreadyExists: as for :func:`create`.
        errors.NotFound: it was removed meanwhile.
    """
    given = _given(members)
    values, wrong = terms.read(given)
    if not given.keys() & terms.CHANGEABLE:
        wrong.append(Detail("", "EMPTY", "Nothing is to be changed: every member is absent or null."))
    _refuse(wrong)
    try:
        with transaction.atomic():
            changed = _locked(webhook)
            _apply(changed, values, given)
    except IntegrityError as error:
        raise AlreadyExists from error
    return changed


def rotate(*, webhook: Webhook, members: Mapping[str, Any]) -> tuple[Webhook, str]:
    """Give it a new secret, ``secret`` where the client brings one; the present one signs beside it for a day.

    Whatever signed beside the present one until now does so no more.

    Returns:
        The webhook and the new secret in the clear, to be shown this once.

    Raises:
        errors.Invalid: the secret is none.
        errors.NotFound: the webhook was removed meanwhile.
    """
    secret, wrong = terms.secret(members)
    _refuse(wrong)
    with transaction.atomic():
        rotated = _locked(webhook)
        rotated.previous_secret = rotated.secret
        rotated.previous_secret_until = datetime.now(tz=UTC) + OVERLAP
        rotated.secret = _sealed(secret)
        rotated.save()
    return rotated, secret


def remove(*, webhook: Webhook) -> None:
    """Remove it; what was on its way to it is given up."""
    with transaction.atomic():
        key = webhook.pk
        webhook.delete()
        holding.give_up_endpoint(endpoint=key)


def find(*, tenant_id: int, key: str) -> Webhook:
    """The tenant's webhook of that id, which may be any text.

    Raises:
        errors.NotFound: there is none, or it is another tenant's.
    """
    try:
        found = Webhook.objects.for_tenant(tenant_id).filter(pk=UUID(key)).first()
    except ValueError:
        found = None
    if not isinstance(found, Webhook):
        raise errors.NotFound("There is no such webhook.")
    return found


def endpoints(*, webhooks: Sequence[Webhook]) -> dict[UUID, Endpoint]:
    """What was learned about where they lead, by webhook; of some nothing was."""
    return Endpoint.objects.in_bulk([webhook.pk for webhook in webhooks])


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _refuse(wrong: list[Detail]) -> None:
    if wrong:
        sentences = dict.fromkeys(detail.message for detail in wrong)
        raise errors.Invalid(" ".join(sentences), details=wrong)


def _sealed(secret: str) -> bytes:
    return sealing.seal(secret.encode(), context=sealing.CONTEXT_WEBHOOK_SECRET)


def _locked(webhook: Webhook) -> Webhook:
    """The row as it is now, and until the transaction ends: it may be switched off at any moment."""
    found = Webhook.objects.for_tenant(webhook.tenant_id).select_for_update().filter(pk=webhook.pk).first()
    if not isinstance(found, Webhook):
        raise errors.NotFound("There is no such webhook.")
    return found


def _apply(webhook: Webhook, values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    was_active = webhook.active
    mends = any(getattr(webhook, name) != values[name] for name in _MENDING if name in values)
    for name, value in values.items():
        setattr(webhook, name, value)
    _refuse(terms.clashes(webhook, given=given))
    if webhook.active != was_active:
        _switch(webhook)
    webhook.save()
    if was_active and not webhook.active:
        holding.hold(endpoint=webhook.pk)
    elif webhook.active and (mends or values.get("active")):
        holding.resume(endpoint=webhook.pk)


def _switch(webhook: Webhook) -> None:
    """Note why and since when it is inactive, if it is."""
    webhook.disabled_reason = None if webhook.active else "Switched off by its owner."
    webhook.disabled_at = None if webhook.active else datetime.now(tz=UTC)
