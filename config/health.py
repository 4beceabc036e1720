"""``/health/live`` and ``/health/ready``: for load balancers and orchestrators, without credentials."""

import logging
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from config import env
from routing.selection import SANDBOX_OPERATOR_ID

log = logging.getLogger(__name__)

# A worker writes its binds' state about once a second; one that is silent this long is gone.
_SEEN_WITHIN = timedelta(seconds=5)
_BROKER_TIMEOUT = 1.0
_PORTS = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379, "valkey": 6379}

_BINDS = """
SELECT o.slug, coalesce(bool_or(s.up), false)
FROM routing_operator o LEFT JOIN routing_operatorstate s ON s.operator_id = o.id AND s.seen_at > %s
WHERE o.active AND o.id <> %s GROUP BY o.slug ORDER BY o.slug
"""


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers."""
    return _answer({"status": "ok"}, ok=True)


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when database and broker are reachable and every active operator has a bind that is up, else 503.

    The sandbox's operator does not count: it keeps no real message waiting.
    """
    binds = _binds(datetime.now(tz=UTC))
    broker = _broker()
    checks = {
        "database": "down" if binds is None else "up",
        "broker": "up" if broker else "down",
        "operators": {slug: "up" if up else "down" for slug, up in (binds or {}).items()},
    }
    ok = binds is not None and broker and all(binds.values())
    return _answer({"status": "ok" if ok else "unavailable", "checks": checks}, ok=ok)


def _answer(data: dict[str, Any], *, ok: bool) -> HttpResponse:
    return HttpResponse(
        msgspec.json.encode(data),
        content_type="application/json",
        status=200 if ok else 503,
        headers={"Cache-Control": "no-store"},
    )


def _binds(now: datetime) -> dict[str, bool] | None:
    """Whether each active operator is up; None when the database is away."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_BINDS, [now - _SEEN_WITHIN, SANDBOX_OPERATOR_ID])
            return dict(cursor.fetchall())
    except Error as error:
        log.warning("health.database_away", extra={"reason": type(error).__name__})
        return None


def _broker() -> bool:
    """Whether the broker's folder is there, or its port answers within a second."""
    url = env.broker_url()
    if url.startswith("filesystem"):
        folder = Path(env.broker_folder())
        return folder.is_dir() or folder.parent.is_dir()
    parts = urlsplit(url)
    if parts.scheme.endswith("+socket"):
        return _connects(socket.AF_UNIX, parts.path)
    return _connects_to(parts.hostname or "localhost", parts.port or _PORTS.get(parts.scheme, 5672))


def _connects_to(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_BROKER_TIMEOUT).close()
    except OSError:
        return False
    return True


def _connects(family: socket.AddressFamily, address: str) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_BROKER_TIMEOUT)
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
