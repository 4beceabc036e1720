"""WhatsApp templates read again by themselves, for as long as a relay runs: on a thread of their own, since Meta may
take its time."""

import threading
import time
from datetime import datetime, timedelta
from typing import ClassVar

import structlog
from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import Max

from gateway.sealing import SealingError
from routing import operators
from routing.errors import RoutingError
from routing.models import Operator, OperatorTemplate
from routing.transports import whatsapp_templates
from routing.transports.http_settings import Reader

log = structlog.get_logger(__name__)

USUAL_MINUTES = 60.0
# An operator whose templates cannot be read is tried, and told about, again after so long.
AFTER_FAILURE_SECONDS = 3600.0


class _Memory:
    """Of this process."""

    # By operator, a reading of ``time.monotonic``.
    not_before: ClassVar[dict[int, float]] = {}
    thread: ClassVar[threading.Thread | None] = None


def minutes(reader: Reader) -> float:
    """How often an operator's templates are read; 0 is never.

    Raises:
        OperatorSettingsError: it is no number, or too large.
    """
    return reader.number("sync_templates_minutes", USUAL_MINUTES, least=0, most=44_640)


def keep(*, now: datetime) -> int:
    """Begin to read what is due, unless that is under way; returns 0, at once, so that the caller pauses."""
    if _Memory.thread is None or not _Memory.thread.is_alive():
        rows = due(now=now)
        if rows:
            # Whoever stops does not wait for Meta: what was not stored is as it was.
            _Memory.thread = threading.Thread(
                target=_run, args=(rows, now), name="whatsapp templates", daemon=True
            )
            _Memory.thread.start()
    return 0


def due(*, now: datetime) -> list[Operator]:
    """The operators whose templates are to be read: whichever relay read them last, the clock is the database's."""
    rows = Operator.objects.filter(transport="whatsapp", active=True, settings__has_key="business_account_id")
    found = list(rows.order_by("pk"))
    if not found:
        return []
    read_at = dict(
        OperatorTemplate.objects.filter(operator_id__in=[row.pk for row in found])
        .values("operator_id")
        .annotate(at=Max("synchronised_at"))
        .values_list("operator_id", "at")
    )
    return [row for row in found if _is_due(row, read_at.get(row.pk), now)]


def _is_due(row: Operator, read_at: datetime | None, now: datetime) -> bool:
    every = row.settings.get("sync_templates_minutes", USUAL_MINUTES)
    if not isinstance(every, int | float) or every <= 0:
        return False
    if time.monotonic() < _Memory.not_before.get(row.pk, 0.0):
        return False
    return read_at is None or read_at + timedelta(minutes=every) <= now


def _run(rows: list[Operator], now: datetime) -> None:
    try:
        for row in rows:
            synchronise(row=row, now=now)
    except DatabaseError:
        log.warning("templates.database_away", exc_info=True)
    except Exception:
        # The next turn begins anew.
        log.exception("templates.failed")
    finally:
        connection.close()


def synchronise(*, row: Operator, now: datetime) -> int | None:
    """Read one operator's templates; returns how many, None where it failed, which is logged and left for an hour."""
    # An account without templates leaves no trace in the database.
    _Memory.not_before[row.pk] = time.monotonic() + AFTER_FAILURE_SECONDS
    try:
        count = whatsapp_templates.synchronise(operator=operators.settings_of(row), now=now)
    except (RoutingError, SealingError) as error:
        log.warning("templates.not_read", operator=row.slug, reason=str(error))
        return None
    if count:
        _Memory.not_before.pop(row.pk, None)
    return count
