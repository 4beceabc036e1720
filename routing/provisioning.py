"""Adding and changing operators and routes. Workers and relays notice within seconds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.validators import validate_slug
from django.db import transaction
from django.forms import ValidationError
from django.utils.module_loading import import_string

from gateway import sealing
from gateway.models import Tenant
from routing import operators, selection
from routing.contract import OperatorSettings
from routing.errors import OperatorSettingsError
from routing.models import Operator, Route

TRANSPORTS = ("smpp", "http", "whatsapp", "rcs", "simulator")
CHANNELS = ("sms", "whatsapp", "rcs")
ID_MODES = ("as_is", "hex_to_decimal", "decimal_to_hex")


class ProvisioningError(ValueError):
    """It cannot be added like that; the text says why."""


@dataclass(frozen=True, slots=True)
class OperatorWish:
    """What an operator is to be. None leaves a field as it is, or at its default."""

    slug: str
    transport: str | None = None
    channel: str | None = None
    name: str | None = None
    rate: float | None = None
    active: bool | None = None
    on_unknown_outcome: str | None = None
    id_mode: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def add_operator(*, wish: OperatorWish, update: bool = False) -> Operator:
    """Add the operator; with ``update``, change the one that is there: settings are merged, None removes one.

    Raises:
        ProvisioningError: the slug is malformed, in use (or, to update, unknown) or the sandboxes', or the
            transport, which checks its own settings, does not take them.
    """
    with transaction.atomic():
        operator = _operator(wish, update=update)
        for name in ("transport", "channel", "name", "rate", "active", "on_unknown_outcome", "id_mode"):
            value = getattr(wish, name)
            if value is not None:
                setattr(operator, name, value)
        merged = {**operator.settings, **wish.settings}
        operator.settings = {name: value for name, value in merged.items() if value is not None}
        if wish.secrets:
            kept = operators.settings_of(operator).secrets if operator.secrets else {}
            operator.secrets = sealing.seal(
                json.dumps({**kept, **wish.secrets}).encode(), context=sealing.CONTEXT_OPERATOR_SECRETS
            )
        check(operator)
        operator.save()
    return operator


def _operator(wish: OperatorWish, *, update: bool) -> Operator:
    if wish.slug.casefold() == selection.SANDBOX_SLUG:
        raise ProvisioningError(
            f"the operator {wish.slug!r} is the sandboxes' own: it is there, and stays as it is"
        )
    if wish.transport is not None and wish.transport not in TRANSPORTS:
        raise ProvisioningError(f"the transport must be one of {', '.join(TRANSPORTS)}")
    found = Operator.objects.select_for_update().filter(slug=wish.slug).first()
    if found is not None and not update:
        raise ProvisioningError(f"there is an operator {wish.slug!r} already (use --update to change it)")
    if found is None and update:
        raise ProvisioningError(f"there is no operator {wish.slug!r} to update")
    if found is not None:
        return found
    try:
        validate_slug(wish.slug)
    except ValidationError as error:
        raise ProvisioningError(f"{wish.slug!r} is no slug: letters, digits, hyphens, underscores") from error
    if len(wish.slug) > 63:
        raise ProvisioningError("the slug has more than 63 characters")
    if wish.transport is None:
        raise ProvisioningError("the transport is missing")
    return Operator(slug=wish.slug)


def check(operator: Operator) -> None:
    """Have the transport read the operator's settings, and check what they all share."""
    path = settings.TRANSPORTS.get(operator.transport)
    if path is None:
        raise ProvisioningError(
            f"the transport {operator.transport!r} is not available (there are: {', '.join(settings.TRANSPORTS)})"
        )
    if operator.channel not in CHANNELS:
        raise ProvisioningError(f"the channel must be one of {', '.join(CHANNELS)}")
    if operator.id_mode not in ID_MODES:
        raise ProvisioningError(f"the id mode must be one of {', '.join(ID_MODES)}")
    if operator.rate is not None and not 0 < operator.rate < 1e6:
        raise ProvisioningError("the rate must be above 0, and below 1,000,000, parts per second")
    shown = OperatorSettings(
        id=operator.pk or 0,
        slug=operator.slug,
        channel=operator.channel,
        rate=operator.rate,
        settings=operator.settings,
        id_mode=operator.id_mode,
        secrets=operators.settings_of(operator).secrets,
    )
    try:
        import_string(path)(shown)
    except OperatorSettingsError as error:
        raise ProvisioningError(str(error)) from error


def add_route(
    *,
    operator: str,
    tenant: Tenant | None,
    channel: str | None,
    prefix: str,
    sender: str,
    priority: int,
    weight: int,
) -> Route:
    """Add a route; its channel is the operator's when None is given.

    Raises:
        ProvisioningError: an unknown operator or the sandboxes', a malformed prefix, a weight below one, the same
            route again.
    """
    if operator.casefold() == selection.SANDBOX_SLUG:
        raise ProvisioningError(f"the operator {operator!r} is the sandboxes' own: no route leads to it")
    found = Operator.objects.filter(slug=operator).first()
    if found is None:
        raise ProvisioningError(f"there is no operator {operator!r}")
    digits = prefix.removeprefix("+")
    if digits and (not digits.isascii() or not digits.isdigit() or len(digits) > 15):
        raise ProvisioningError(
            f"the prefix {prefix!r} must be the first digits of a number, country code first"
        )
    if not 1 <= weight <= 1_000_000:
        raise ProvisioningError("the weight must be at least 1")
    if abs(priority) > 1_000_000:
        raise ProvisioningError("the priority must be between -1000000 and 1000000")
    if len(sender) > 32:
        raise ProvisioningError("the sender has more than 32 characters")
    if channel is not None and channel != found.channel:
        raise ProvisioningError(f"the operator {operator!r} carries {found.channel}, not {channel!r}")
    route, made = Route.objects.get_or_create(
        operator=found,
        tenant_id=tenant.pk if tenant else None,
        channel=channel or found.channel,
        prefix=digits,
        sender=sender,
        defaults={"priority": priority, "weight": weight},
    )
    if not made:
        raise ProvisioningError(f"that route is there already (number {route.pk})")
    return route
