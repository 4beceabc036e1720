"""Making, changing and removing webhooks. Nothing is resolved or called here: addresses are checked at delivery."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from gateway import errors, sealing
from gateway.errors import Detail
from webhooks import catalogue, holding, signing, targets
from webhooks.errors import InvalidTarget
from webhooks.models import Webhook

METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
ENCODINGS = ("JSON", "FORM_ENCODED", "XML")
FORMATS = ("standard", "messagemedia", "octopush")
LONGEST_URL = 1000
LONGEST_HEADER_NAME = 200
LONGEST_HEADER_VALUE = 1000
MOST_HEADERS = 50
# name: (least, most); what only creation takes, as MessageMedia has it.
_NUMBERS = {"read_timeout": (1, 60_000), "retries": (0, 5), "retry_delay": (5, 60)}
_REFERENCE = re.compile(r"\$!?\{?[A-Za-z]")


class AlreadyExists(errors.Conflict):
    code = "WEBHOOK_EXISTS"
    message = "A webhook with the given url and method already exists."
    action = "Change the existing webhook, or remove it first."


def create(*, tenant_id: int, members: Mapping[str, Any]) -> tuple[Webhook, str]:
    """A new webhook from a request's members (contract §2; null is absent, unknown ones are ignored).

    Returns:
        The webhook and its signing secret in the clear, to be shown this once.

    Raises:
        errors.Invalid: a member is missing or wrong.
        errors.FeatureNotAvailable: it asks for what is not rendered yet.
        AlreadyExists: the tenant has one with this URL and method.
    """
    given = _given(members)
    wrong = [
        Detail(name, "REQUIRED", f"{name} is required.")
        for name in ("url", "method", "encoding", "events")
        if name not in given
    ]
    values, more = _read(given)
    values |= _numbers(given, more)
    _refuse(wrong + more)
    values = {"format": "standard", "headers": {}, "active": True} | values
    _check_available(values)
    secret = signing.new_secret()
    sealed = sealing.seal(secret.encode(), context=sealing.CONTEXT_WEBHOOK_SECRET)
    try:
        with transaction.atomic():
            return Webhook.objects.create(tenant_id=tenant_id, secret=sealed, **values), secret
    except IntegrityError as error:
        raise AlreadyExists from error


def change(*, webhook: Webhook, members: Mapping[str, Any]) -> Webhook:
    """Set the members given, the others stay; null is not given, and at least one must be.

    A webhook made inactive has its callbacks held, one made active gets those held now.

    Raises:
        errors.Invalid, errors.FeatureNotAvailable, AlreadyExists: as for :func:`create`.
    """
    given = _given(members)
    values, wrong = _read(given)
    if not given.keys() & _READERS.keys():
        wrong.append(Detail("", "EMPTY", "Nothing is to be changed: every member is absent or null."))
    _refuse(wrong)
    was_active = webhook.active
    for name, value in values.items():
        setattr(webhook, name, value)
    _check_available({name: getattr(webhook, name) for name in _READERS})
    if webhook.active != was_active:
        webhook.disabled_reason = None if webhook.active else "Switched off by its owner."
    try:
        with transaction.atomic():
            webhook.save()
            if webhook.active != was_active:
                (holding.resume if webhook.active else holding.hold)(endpoint=webhook.pk)
    except IntegrityError as error:
        raise AlreadyExists from error
    return webhook


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


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _refuse(wrong: list[Detail]) -> None:
    if wrong:
        raise errors.Invalid(" ".join(detail.message for detail in wrong), details=wrong)


def _read(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Detail]]:
    """The members that both creation and change take, as columns, and what is wrong with them."""
    values: dict[str, Any] = {}
    wrong: list[Detail] = []
    for name, reader in _READERS.items():
        if name in given:
            try:
                values[name] = reader(given[name])
            except ValueError as error:
                wrong.append(Detail(name, "INVALID", f"{name} {error}."))
    return values, wrong


def _url(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_URL:
        raise ValueError(f"must be an http:// or https:// URL of at most {LONGEST_URL} characters")
    try:
        targets.read(url=value)
    except InvalidTarget as error:
        raise ValueError(f"is not usable: {error}") from error
    # A unique index holds it, and an index entry has its limit in bytes.
    if len(value.encode()) > 2 * LONGEST_URL:
        raise ValueError("must have its other than ASCII characters percent-encoded")
    return value


def _method(value: Any) -> str:
    return _one_of(value, METHODS)


def _encoding(value: Any) -> str:
    return _one_of(value, ENCODINGS)


def _format(value: Any) -> str:
    return _one_of(value, FORMATS)


def _one_of(value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}")
    return str(value)


def _events(value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a list of at least one event's name")
    unknown = [name for name in value if not catalogue.is_known(name)]
    if unknown:
        raise ValueError(f"has an unknown name: {unknown[0][:50]}")
    return list(dict.fromkeys(value))


def _headers(value: Any) -> dict[str, str]:
    """Some clients serialise an empty map as a list."""
    if value == []:
        return {}
    if not isinstance(value, dict) or len(value) > MOST_HEADERS:
        raise ValueError(f"must be an object of at most {MOST_HEADERS} header names and values")
    for name, text in value.items():
        _header(name, text)
    return value


def _header(name: str, value: Any) -> None:
    if not isinstance(value, str) or len(name) > LONGEST_HEADER_NAME or len(value) > LONGEST_HEADER_VALUE:
        raise ValueError(
            f"must have names of at most {LONGEST_HEADER_NAME} and values of at most {LONGEST_HEADER_VALUE}"
            " characters"
        )
    if name.lower() == "content-type":
        raise ValueError("must not have Content-Type, which follows from encoding")
    try:
        targets.check_header(name=name, value=value)
    except InvalidTarget as error:
        raise ValueError(f"cannot be sent: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 64 * 1024:
        raise ValueError("must be a string of at most 65,536 characters")
    return value


def _flag(value: Any) -> bool:
    if value is not True and value is not False:
        raise ValueError("must be true or false")
    return bool(value)


_READERS = {
    "url": _url,
    "method": _method,
    "encoding": _encoding,
    "events": _events,
    "headers": _headers,
    "template": _text,
    "format": _format,
    "description": _text,
    "active": _flag,
}


def _numbers(given: Mapping[str, Any], wrong: list[Detail]) -> dict[str, int]:
    """The members that only creation takes; adds to ``wrong``."""
    values: dict[str, int] = {}
    for name, (least, most) in _NUMBERS.items():
        value = given.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            message = f"{name} must be a whole number from {least} to {most}."
            wrong.append(Detail(name, "INVALID", message))
        else:
            values[name] = value
    return values


def _check_available(values: Mapping[str, Any]) -> None:
    """Raises FeatureNotAvailable for what would be sent wrong, rather than send it."""
    asks = {
        "template": bool(values.get("template")),
        "format": values["format"] != "standard",
        "encoding": values["encoding"] != "JSON",
        "method": values["method"] == "GET",
        "url": bool(_REFERENCE.search(values["url"])),
    }
    details = [
        Detail(name, "NOT_AVAILABLE", f"{name}: {_INSTEAD[name]}") for name, asked in asks.items() if asked
    ]
    if details:
        raise errors.FeatureNotAvailable(" ".join(detail.message for detail in details), details=details)


_INSTEAD = {
    "template": "templates are not available yet; leave it out.",
    "format": "only the format standard is available yet.",
    "encoding": "only JSON is available yet.",
    "method": "GET, which has no body, is available with templates only.",
    "url": "references like $mtId are available with templates only.",
}
