"""Texts with ``{{variables}}``, approved before they are sent.

A template for SMS alone is approved at once; one for WhatsApp or RCS is decided in the admin, and again after each
change of what it says. Sending finds templates in a cache that is 0.2 s old at most; before anything is refused the
database is asked, unless it was within the last 5 ms.
"""

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from gateway import errors
from gateway.errors import Detail
from gateway.models import Template

DEFAULT_LANGUAGE = "en"
VALUE_LENGTH = 1024

variable = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_]{0,63}|[1-9][0-9]{0,2}) *\}\}")
# What WhatsApp's templates have beside their body.
_BESIDE = re.compile(r"header\.[A-Za-z0-9_]{1,64}|button\.[0-9]\.(?:url|payload|code)")

_CACHED_SECONDS = 0.2
# 1,000 messages of one call that are all refused would otherwise ask 1,000 times.
_FRESH_SECONDS = 0.005
_ROOM = 10_000
# What a decision was about: a change of it asks for another.
_DECIDED = frozenset({"body", "channels", "category"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a list is narrowed to; None is no matter."""

    name: str | None = None
    language: str | None = None
    channel: str | None = None
    status: str | None = None


_FOLLOWED = "WhatsApp: "


def names(body: str) -> list[str]:
    """The variables of a body, each once, in the order in which they appear."""
    return list(dict.fromkeys(variable.findall(body)))


def is_well_formed(body: str) -> bool:
    """Whether every pair of braces is a variable's."""
    rest = variable.sub("", body)
    return "{{" not in rest and "}}" not in rest


def listed(*, tenant_id: int, filters: Filters) -> QuerySet[Template, Template]:
    """The tenant's templates that match, newest first."""
    rows = Template.objects.for_tenant(tenant_id).order_by("-id")
    if filters.name is not None:
        rows = rows.filter(name=filters.name)
    if filters.language is not None:
        rows = rows.filter(language=filters.language)
    if filters.channel is not None:
        rows = rows.filter(channels__contains=[filters.channel])
    if filters.status is not None:
        rows = rows.filter(status=filters.status)
    return rows


def read(*, tenant_id: int, template_id: UUID) -> Template:
    """One template.

    Raises:
        errors.NotFound: the tenant has no such one.
    """
    found = Template.objects.for_tenant(tenant_id).filter(pk=template_id).first()
    if found is None:
        raise errors.NotFound
    return found


def create(*, tenant_id: int, values: Mapping[str, Any]) -> Template:
    """Make a template of its name, language, channels, body and category.

    Raises:
        errors.TemplateExists: the name has one in this language.
    """
    made = Template(tenant_id=tenant_id, **values)
    made.status = _first_status(made)
    _save(made)
    forget()
    return made


def change(*, tenant_id: int, template_id: UUID, changes: Mapping[str, Any]) -> Template:
    """Change some of it; what was decided about is pending again when it is another.

    Raises:
        errors.NotFound: the tenant has no such template.
        errors.TemplateExists: the new name has one in this language.
    """
    with transaction.atomic():
        rows = Template.objects.for_tenant(tenant_id).select_for_update()
        found = rows.filter(pk=template_id).first()
        if found is None:
            raise errors.NotFound
        changed = {name for name, value in changes.items() if _is_other(getattr(found, name), value)}
        for name in changed:
            setattr(found, name, changes[name])
        if changed & _DECIDED:
            found.status, found.reason = _first_status(found), None
        if changed:
            _save(found)
    forget()
    return found


def remove(*, tenant_id: int, template_id: UUID) -> None:
    """Remove a template; messages that were made with it keep their text.

    Raises:
        errors.NotFound: the tenant has no such one.
    """
    if not Template.objects.for_tenant(tenant_id).filter(pk=template_id).delete()[0]:
        raise errors.NotFound
    forget()


def approve(*, template: Template) -> None:
    """Let the template be sent."""
    template.status, template.reason = Template.Status.APPROVED, None
    template.save(update_fields=["status", "reason", "updated_at"])
    forget()


def reject(*, template: Template, reason: str) -> None:
    """Let it not be sent; the tenant reads the reason."""
    template.status, template.reason = Template.Status.REJECTED, reason
    template.save(update_fields=["status", "reason", "updated_at"])
    forget()


def follow(*, decisions: Mapping[tuple[str, str], str | None]) -> int:
    """Decide on tenants' templates of WhatsApp alone as WhatsApp did; those of other channels too are the platform's.

    Args:
        decisions: by name and language, None where it is approved, else the reason why not.

    Returns:
        How many were decided on. One of the platform's own rejections stays.
    """
    wanted = {(name, _tag(language)): reason for (name, language), reason in decisions.items()}
    names = {name for name, _tag in wanted}
    decided = 0
    for template in Template.objects.filter(name__in=names, channels=["whatsapp"]):
        key = template.name, _tag(template.language)
        ours = template.status == Template.Status.REJECTED and not (template.reason or "").startswith(
            _FOLLOWED
        )
        if key not in wanted or ours:
            continue
        reason = wanted[key]
        if reason is None and template.status != Template.Status.APPROVED:
            approve(template=template)
        elif reason is not None and template.status != Template.Status.REJECTED:
            reject(template=template, reason=f"{_FOLLOWED}{reason}")
        else:
            continue
        decided += 1
    return decided


def _is_other(now: Any, value: Any) -> bool:
    """Whether a member would change; channels have no order."""
    return set(now) != set(value) if isinstance(value, list) else bool(now != value)


def _first_status(template: Template) -> Template.Status:
    """Nobody but the operator has a say in an SMS."""
    return Template.Status.APPROVED if set(template.channels) == {"sms"} else Template.Status.PENDING


def _save(template: Template) -> None:
    try:
        with transaction.atomic():
            template.save()
    except IntegrityError as error:
        raise errors.TemplateExists from error


class _Kept(NamedTuple):
    """A template as sending sees it."""

    language: str
    status: str
    channels: Sequence[str]
    body: str


_cache: dict[tuple[int, str], tuple[float, list[_Kept]]] = {}


def forget() -> None:
    """Drop what this process keeps: the next message asks the database."""
    _cache.clear()


def render(
    *, tenant_id: int, name: str, language: str | None, channel: str, variables: Mapping[str, Any]
) -> str:
    """The text that a template makes on a channel. Values are put in as they are: nothing in them is evaluated.

    Without a language it is the only one there is, else English. A language is found without regard to case and to
    the kind of its dashes, and gives way to what it begins with (``zh-Hant-TW`` to ``zh-Hant`` to ``zh``: RFC 4647
    §3.4).

    Raises:
        errors.TemplateNotFound: there is none of this name in the language.
        errors.TemplateChannelMismatch: it is not made for the channel.
        errors.TemplateNotApproved: it is pending, or was rejected.
        errors.TemplateVariableMissing: naming each variable in ``details``.
        errors.Invalid: naming each variable that the template does not have, or whose value is no text or number.
    """
    body = _sendable(tenant_id, name, language, channel).body
    wanted = names(body)
    missing = [
        Detail(f"variables.{one}", errors.TemplateVariableMissing.code, "The template needs this variable.")
        for one in wanted
        if variables.get(one) is None
    ]
    if missing:
        raise errors.TemplateVariableMissing(details=missing)
    faults = [fault for one, value in variables.items() if (fault := _fault(one, value, wanted, channel))]
    if faults:
        raise errors.Invalid(details=faults)
    return variable.sub(lambda match: str(variables[match[1]]), body)


def _sendable(tenant_id: int, name: str, language: str | None, channel: str) -> _Kept:
    """The template, if it may be sent; one that may not is read again before that is said."""
    try:
        return _checked(_known(tenant_id, name, _CACHED_SECONDS), language, channel)
    except errors.Unprocessable:
        return _checked(_known(tenant_id, name, _FRESH_SECONDS), language, channel)


def _checked(known: Sequence[_Kept], language: str | None, channel: str) -> _Kept:
    found = _chosen(known, language)
    if found is None:
        raise errors.TemplateNotFound
    if channel not in found.channels:
        raise errors.TemplateChannelMismatch
    if found.status != Template.Status.APPROVED:
        raise errors.TemplateNotApproved
    return found


def _chosen(known: Sequence[_Kept], language: str | None) -> _Kept | None:
    if language is None:
        if len(known) == 1:
            return known[0]
        language = DEFAULT_LANGUAGE
    for kept in known:
        if kept.language == language:
            return kept
    by_tag = {_tag(kept.language): kept for kept in known}
    tag = _tag(language)
    while tag and tag not in by_tag:
        tag = tag.rpartition("-")[0]
    return by_tag.get(tag)


def _tag(language: str) -> str:
    """A language to be compared: ``pt_BR`` is ``pt-br``."""
    return language.replace("_", "-").lower()


def _known(tenant_id: int, name: str, seconds: float) -> list[_Kept]:
    """The templates of a name in every language, as they were at most so long ago."""
    now = time.monotonic()
    kept = _cache.get((tenant_id, name))
    if kept is not None and now < kept[0] + seconds:
        return kept[1]
    rows = Template.objects.for_tenant(tenant_id).filter(name=name).order_by("id")
    found = [_Kept(*row) for row in rows.values_list("language", "status", "channels", "body")]
    if len(_cache) >= _ROOM:
        _cache.clear()
    _cache[tenant_id, name] = (now, found)
    return found


def _fault(name: str, value: Any, wanted: Sequence[str], channel: str) -> Detail | None:
    field = f"variables.{name}"
    if name not in wanted and not (channel == "whatsapp" and _BESIDE.fullmatch(name)):
        return Detail(field, "UNKNOWN_MEMBER", "The template has no such variable.")
    if type(value) not in {str, int, float}:
        return Detail(field, "INVALID_TYPE", "Must be a string or a number.")
    if value in {math.inf, -math.inf}:
        return Detail(field, "OUT_OF_RANGE", "Larger than any number.")
    if len(str(value)) > VALUE_LENGTH:
        return Detail(field, "INVALID_LENGTH", f"At most {VALUE_LENGTH:,} characters.")
    return None
