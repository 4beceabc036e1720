"""Adding and changing operators and routes. Workers and relays notice within seconds."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import phonenumbers
from django.conf import settings
from django.core.validators import validate_slug
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ValidationError
from django.utils.module_loading import import_string

from gateway import sealing
from gateway.models import Tenant
from routing import id_modes, operators, quiet, selection, windows
from routing.errors import OperatorSettingsError
from routing.models import Operator, Route

TRANSPORTS = ("smpp", "http", "whatsapp", "rcs", "simulator")
CHANNELS = ("sms", "whatsapp", "rcs")
ID_MODES = id_modes.MODES


class ProvisioningError(ValueError):
    """It cannot be added like that; the text says why, ``field`` which of a route's or an operator's fields it is
    about."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


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
        raise ProvisioningError(f"the id mode must be one of {', '.join(ID_MODES)}", field="id_mode")
    if operator.rate is not None and not 0 < operator.rate < 1e6:
        raise ProvisioningError(
            "the rate must be above 0, and below 1,000,000, parts per second", field="rate"
        )
    _check_routing(operator.settings)
    try:
        import_string(path)(replace(operators.settings_of(operator), id=operator.pk or 0))
    except OperatorSettingsError as error:
        raise ProvisioningError(str(error), field="settings") from error


def _check_routing(given: Mapping[str, Any]) -> None:
    """The settings that routing itself goes by, see :data:`routing.operators.ROUTING_SETTINGS`."""
    if type(given.get("breaker", True)) is not bool:
        raise ProvisioningError("the setting breaker must be true or false", field="settings")
    for name, least, most in (("no_receipts_minutes", 2, 1440), ("slow_seconds", 1, 86_400)):
        value = given.get(name)
        if value is not None and (type(value) not in {int, float} or not least <= value <= most):
            raise ProvisioningError(
                f"the setting {name} must be between {least} and {most}, or null", field="settings"
            )
    if given.get(quiet.SETTING) is not None:
        try:
            quiet.parse(given[quiet.SETTING])
        except ValueError as error:
            raise ProvisioningError(f"the setting {error}", field="settings") from error


@dataclass(frozen=True, slots=True)
class RouteWish:
    """What a route is to be; empty is for all."""

    operator: str
    tenant: Tenant | None = None
    channel: str | None = None
    prefix: str = ""
    country: str = ""
    network: str = ""
    sender: str = ""
    tag: str = ""
    cost: Decimal | None = None
    windows: Sequence[Any] = ()
    priority: int = 0
    weight: int = 1


def add_route(*, wish: RouteWish) -> Route:
    """Add a route; its channel is the operator's when None is given.

    Raises:
        ProvisioningError: an unknown operator or the sandboxes', what :func:`check_route` finds, the same route
            again.
    """
    if wish.operator.casefold() == selection.SANDBOX_SLUG:
        raise ProvisioningError(f"the operator {wish.operator!r} is the sandboxes' own: no route leads to it")
    found = Operator.objects.filter(slug=wish.operator).first()
    if found is None:
        raise ProvisioningError(f"there is no operator {wish.operator!r}")
    if wish.channel is not None and wish.channel != found.channel:
        raise ProvisioningError(
            f"the operator {wish.operator!r} carries {found.channel}, not {wish.channel!r}"
        )
    route = Route(
        operator=found,
        tenant_id=wish.tenant.pk if wish.tenant else None,
        channel=wish.channel or found.channel,
        prefix=wish.prefix.removeprefix("+"),
        country=wish.country.upper(),
        network=wish.network,
        sender=wish.sender,
        tag=wish.tag,
        cost=wish.cost,
        windows=list(wish.windows),
        priority=wish.priority,
        weight=wish.weight,
    )
    check_route(route)
    same = same_routes(route).first()
    if same is not None:
        raise ProvisioningError(f"that route is there already (number {same.pk})")
    route.save()
    return route


# Two routes of an operator differ in one of these.
SELECTS = ("tenant_id", "channel", "prefix", "country", "network", "sender", "tag", "windows")


def same_routes(route: Route) -> QuerySet[Route]:
    """The operator's other routes that match what this one matches."""
    wanted = {name: getattr(route, name) for name in SELECTS}
    return Route.objects.filter(operator=route.operator_id, **wanted).exclude(pk=route.pk)


def check_route(route: Route) -> None:
    """Check what a route matches and how it ranks.

    Raises:
        ProvisioningError: a field is malformed; the text names it, ``field`` too.
    """
    for name, pattern, wanted in _SHAPES:
        text = getattr(route, name)
        if text and not pattern.fullmatch(text):
            raise ProvisioningError(f"the {name} {text!r} must be {wanted}", field=name)
    if route.country and route.country not in phonenumbers.SUPPORTED_REGIONS:
        raise ProvisioningError(
            f"there is no country {route.country!r} with numbers of its own", field="country"
        )
    for name, most in (("sender", 32), ("tag", 100)):
        if len(getattr(route, name)) > most:
            raise ProvisioningError(f"the {name} has more than {most} characters", field=name)
    if not 1 <= route.weight <= 1_000_000:
        raise ProvisioningError("the weight must be at least 1, and at most 1000000", field="weight")
    if abs(route.priority) > 1_000_000:
        raise ProvisioningError("the priority must be between -1000000 and 1000000", field="priority")
    if route.cost is not None and not (route.cost.is_finite() and 0 <= route.cost < 1_000_000):
        raise ProvisioningError("the cost must be 0 or more, and below 1000000", field="cost")
    try:
        windows.parse(route.windows)
    except ValueError as error:
        raise ProvisioningError(str(error), field="windows") from error


_SHAPES = (
    ("prefix", re.compile("[0-9]{1,15}"), "the first digits of a number, country code first"),
    ("country", re.compile("[A-Z]{2}"), "two letters, ISO 3166-1 alpha-2"),
    ("network", re.compile("[0-9]{3}|[0-9]{5,6}"), "an MCC (208), or an MCC and MNC (20801)"),
)
