"""An operator's WhatsApp templates as Meta has them, read into :class:`OperatorTemplate`.

Source: Meta's reference of the Business Management API, "Message templates"; of the Graph API, "Paginated results".
"""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import requests
import structlog
from django.db import connection, transaction

from gateway import templates
from routing.contract import OperatorSettings
from routing.errors import OperatorSettingsError, RoutingError
from routing.models import OperatorTemplate
from routing.transports import http_intake
from routing.transports.http_paths import Path
from routing.transports.http_settings import Reader

log = structlog.get_logger(__name__)

URL = "https://graph.facebook.com/v23.0"
PAGE = 100
# No account may have more templates than 6,000.
MOST_PAGES = 100
TIMEOUT_SECONDS = 20.0
# For all pages.
DEADLINE_SECONDS = 120.0
_FIELDS = "id,name,language,category,status,components"
_ENDED = frozenset({"REJECTED", "PAUSED", "DISABLED"})
_TOLD = ("name", "language", "status")
_LOCK = 0x77617470
_AFTER, _NEXT = Path("paging.cursors.after", setting=""), Path("paging.next", setting="")


class SyncError(RoutingError):
    """Meta did not give the templates; nothing was changed."""

    retryable = True


def account_id(reader: Reader) -> str:
    """The business account's id; empty where none is set.

    Raises:
        OperatorSettingsError: it is no number.
    """
    found = reader.text("business_account_id")
    if found and not (found.isascii() and found.isdecimal()):
        raise reader.wrong("business_account_id", "the id of a business account, digits")
    return found


def synchronise(*, operator: OperatorSettings, now: datetime) -> int:
    """Make the operator's templates those that Meta has; returns how many.

    Raises:
        OperatorSettingsError: the operator has no business account, or no token.
        SyncError: see there.
    """
    reader = Reader(operator)
    account = account_id(reader)
    if not account:
        raise OperatorSettingsError(f"{operator.slug}: business_account_id is missing.")
    token = reader.secret("token", "the Cloud API")
    url = f"{reader.url('url', URL).rstrip('/')}/{account}/message_templates"
    rows = {(row.name, row.language): row for row in _rows(operator.id, url, token, now)}
    known = OperatorTemplate.objects.filter(operator_id=operator.id)
    with transaction.atomic():
        with connection.cursor() as cursor:
            # A relay and a person may read them at the same moment.
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, operator.id])
        before = {(name, language): told for name, language, told in known.values_list(*_TOLD)}
        known.delete()
        OperatorTemplate.objects.bulk_create(rows.values())
    _decide(names={name for name, _language in rows})
    for key, row in rows.items():
        if before.get(key, row.status) != row.status:
            log.info("template.changed", operator=operator.slug, template=str(row), status=row.status)
    return len(rows)


def _decide(*, names: set[str]) -> None:
    """Let tenants' own templates be what WhatsApp made of them: approved where one operator may send them."""
    told: dict[tuple[str, str], set[str]] = {}
    found = OperatorTemplate.objects.filter(name__in=names)
    for name, language, status in found.values_list(*_TOLD):
        told.setdefault((name, language), set()).add(status.upper())
    decisions: dict[tuple[str, str], str | None] = {}
    for key, statuses in told.items():
        if "APPROVED" in statuses:
            decisions[key] = None
        elif statuses <= _ENDED:
            decisions[key] = ", ".join(sorted(statuses)).lower()
    templates.follow(decisions=decisions)


def _rows(operator_id: int, url: str, token: str, now: datetime) -> Iterator[OperatorTemplate]:
    for told in _templates(url, token):
        try:
            yield OperatorTemplate(
                operator_id=operator_id,
                **{name: _text(told[name]) for name in _TOLD},
                category=_text(told.get("category", "")),
                remote_id=str(told["id"]),
                components=http_intake.cleaned(told.get("components", [])),
                synchronised_at=now,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise SyncError(f"Meta described a template without {error}.") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text where it has {value!r:.50}")
    return str(http_intake.cleaned(value))


def _templates(url: str, token: str) -> Iterator[Any]:
    """All of them, page by page."""
    until = time.monotonic() + DEADLINE_SECONDS
    wanted: dict[str, str | int] = {"fields": _FIELDS, "limit": PAGE}
    with requests.Session() as session:
        # Neither a proxy nor a netrc of the environment.
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {token}"
        for _page in range(MOST_PAGES):
            told = _page_of(session, url, wanted)
            yield from told["data"]
            # Not `paging.next`, a whole URL: where the token is sent is the operator's setting.
            after = _AFTER.first(told)
            if after is None or _NEXT.first(told) is None:
                return
            if time.monotonic() > until:
                raise SyncError("Meta gave not all templates in time.")
            wanted["after"] = after
    raise SyncError(f"Meta has more than {MOST_PAGES} pages of templates.")


def _page_of(session: requests.Session, url: str, wanted: dict[str, str | int]) -> dict[str, Any]:
    try:
        answer = session.get(url, params=wanted, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        told = answer.json()
    except (requests.RequestException, RecursionError) as error:
        raise SyncError(f"Meta cannot be read: {type(error).__name__}.") from error
    if not isinstance(told, dict) or not isinstance(told.get("data", []), list):
        raise SyncError("Meta answered with something else than templates.")
    if not answer.ok or "data" not in told:
        error_told = told.get("error")
        reason = error_told.get("message") if isinstance(error_told, dict) else None
        raise SyncError(f"Meta refused, with HTTP status {answer.status_code}: {str(reason)[:300]}")
    return told
