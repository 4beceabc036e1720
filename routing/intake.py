"""Where HTTP operators post to us: ``/intake/<operator>/receipts`` and ``/intake/<operator>/inbound``, or, those that
post both to one place, ``/intake/<operator>/events``.

A post is stored before it is answered, and may be repeated: a receipt that comes again is one line more in a
message's history, a handset's message with an id that came before is not kept again. Items of a post that cannot be
read are told in the answer and in the log; only a post with nothing readable in it is refused, since an operator that
is refused sends the same again and again.

An operator that is switched off may post: its messages of before are on their way.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from gateway import errors, idempotency, ids
from gateway.api import requestid
from gateway.errors import Detail, Problem
from gateway.idempotency import Claim
from gateway.sealing import SealingError
from routing import arrivals, operators, receipts
from routing.contract import Inbound, Receipt
from routing.errors import OperatorSettingsError
from routing.models import Operator
from routing.transports import http_intake, rcs_intake, whatsapp_intake
from routing.transports.http_events import EventMap
from routing.transports.http_intake import FieldMap, Presented, UnreadableError
from routing.transports.http_settings import Reader

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 1.0
# Items stored in one transaction.
BATCH = 1000
# Fields of a form, or of a query.
MOST_FIELDS = 200
# Whose idempotency keys handsets' messages are remembered under: no tenant's.
_NOBODY = 0
_JSON = "application/json"

T = TypeVar("T")

# How the posts of a kind of operator are read.
_MAPS: dict[str, Callable[[Reader], FieldMap | EventMap]] = {
    "http": http_intake.read,
    "rcs": rcs_intake.read,
    "whatsapp": whatsapp_intake.read,
}


class _Directory:
    """Operators that may post, by slug, as they were a moment ago."""

    def __init__(self) -> None:
        self.maps: dict[str, FieldMap | EventMap] = {}
        self.stamps: dict[str, datetime] = {}
        self.stale_at = 0.0

    def find(self, slug: str) -> FieldMap | EventMap | None:
        if time.monotonic() >= self.stale_at:
            self._refresh()
            self.stale_at = time.monotonic() + REFRESH_SECONDS
        return self.maps.get(slug)

    def sharing(self, found: EventMap) -> dict[str, EventMap]:
        """The operators of the same app, by their numbers' ids; of several with one number that which was asked."""
        others = [m for m in self.maps.values() if not isinstance(m, FieldMap) and type(m) is type(found)]
        return {each.number_id: each for each in (*others, found) if each.app == found.app}

    def _refresh(self) -> None:
        rows = {row.slug: row for row in Operator.objects.filter(transport__in=_MAPS)}
        changed = [row for row in rows.values() if row.updated_at != self.stamps.get(row.slug)]
        maps = {slug: each for slug, each in self.maps.items() if slug in rows}
        for row in changed:
            maps.pop(row.slug, None)
            try:
                maps[row.slug] = _MAPS[row.transport](Reader(operators.settings_of(row)))
            except (OperatorSettingsError, SealingError) as error:
                log.warning("intake.settings_refused", operator=row.slug, reason=str(error))
        self.maps = maps
        self.stamps = {slug: row.updated_at for slug, row in rows.items()}


_directory = _Directory()


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


@csrf_exempt
def take_receipts(request: HttpRequest, slug: str, token: str = "") -> HttpResponse:
    """What became of messages."""
    return _answered(request, slug, token, _receipts)


@csrf_exempt
def take_inbound(request: HttpRequest, slug: str, token: str = "") -> HttpResponse:
    """What handsets sent."""
    return _answered(request, slug, token, _inbound)


@csrf_exempt
def take_events(request: HttpRequest, slug: str) -> HttpResponse:
    """Both, of an operator that posts them to one place and asks first whether it is ours."""
    if request.method == "GET":
        return _guarded(request, slug, lambda: _challenged(request, slug))
    return _guarded(request, slug, lambda: _taken(request, slug, _query(request).get("token", ""), _events))


@csrf_exempt
def unknown(request: HttpRequest) -> HttpResponse:
    """Every other path under ``/intake``."""
    return _problem(request, errors.UnknownPath())


Take = Callable[[Any, Any, datetime], tuple[int, list[Detail]]]


def _challenged(request: HttpRequest, slug: str) -> HttpResponse:
    found = _directory.find(slug)
    told = None if found is None or isinstance(found, FieldMap) else found.challenge(_query(request))
    if told is None:
        raise errors.Unauthenticated("The operator or its token is not known.")
    return _plain(told)


def _plain(told: str) -> HttpResponse:
    headers = {"X-Content-Type-Options": "nosniff"}
    return HttpResponse(told, content_type="text/plain; charset=utf-8", headers=headers)


def _answered(request: HttpRequest, slug: str, token: str, take: Take) -> HttpResponse:
    return _guarded(request, slug, lambda: _taken(request, slug, token, take))


def _guarded(request: HttpRequest, slug: str, work: Callable[[], HttpResponse]) -> HttpResponse:
    """An answer in JSON, whatever goes wrong."""
    try:
        return work()
    except Problem as problem:
        return _problem(request, problem)
    except (OperationalError, InterfaceError):
        log.warning("intake.database_away", operator=slug, exc_info=True)
        return _problem(request, errors.Unavailable(retry_after=2))
    except Exception:
        # An operator reads JSON, if anything; and comes again.
        log.exception("intake.failed", operator=slug)
        return _problem(request, errors.Internal())


def _taken(request: HttpRequest, slug: str, token: str, take: Take) -> HttpResponse:
    if request.method not in {"GET", "POST"}:
        raise errors.MethodNotAllowed(headers={"Allow": "GET, POST"})
    body = _body(request) if request.method == "POST" else b""
    query = request.META.get("QUERY_STRING", "")
    signed = body if request.method == "POST" else query.encode()
    found = _directory.find(slug)
    if found is None or not found.door.admits(Presented(token, request.headers, signed)):
        raise errors.Unauthenticated("The operator or its secret is not known.")
    if isinstance(found, FieldMap) is (take is _events):
        raise errors.UnknownPath
    document = _document(request, body) if request.method == "POST" else _fields(query)
    if not isinstance(found, FieldMap) and (greeting := found.greeting(document)) is not None:
        return _plain(greeting)
    taken, wrong = take(found, document, datetime.now(tz=UTC))
    if wrong:
        log.warning("intake.unreadable", operator=slug, items=len(wrong), field=wrong[0].field)
    if wrong and not taken:
        raise errors.Invalid(details=wrong[:100])
    if found.reply:
        return _plain(found.reply)
    told = {"accepted": taken, "ignored": [detail._asdict() for detail in wrong[:100]]}
    return _json(request, told, status=200)


def _receipts(found: FieldMap, document: Any, now: datetime) -> tuple[int, list[Detail]]:
    arrived, wrong = _read(found.items("receipt", document), found.receipt, now)
    slugs = {found.operator.id: found.operator.slug}
    _record(arrived, slugs, now)
    return len(arrived), wrong


def _record(arrived: Sequence[Receipt], slugs: dict[int, str], now: datetime) -> None:
    for start in range(0, len(arrived), BATCH):
        receipts.record(arrived=arrived[start : start + BATCH], slugs=slugs, now=now)


def _inbound(found: FieldMap, document: Any, now: datetime) -> tuple[int, list[Detail]]:
    arrived, wrong = _read(found.items("inbound", document), found.inbound, now)
    slugs = {found.operator.id: found.operator.slug}
    for start in range(0, len(arrived), BATCH):
        _keep_each(arrived[start : start + BATCH], slugs, now)
    return len(arrived), wrong


def _events(found: EventMap, document: Any, now: datetime) -> tuple[int, list[Detail]]:
    """Receipts and messages of any of the app's numbers; those of a number that is nobody's are left out."""
    kin = _directory.sharing(found)
    told = found.events(document)
    ours = [event for event in told if event.number_id in kin]
    if len(ours) < len(told):
        log.warning("intake.nobodys_number", operator=found.operator.slug, items=len(told) - len(ours))
    if not ours:
        return len(told), []
    arrived, wrong = _read(ours, lambda event, at: kin[event.number_id].read(event, at), now)
    slugs = {each.operator.id: each.operator.slug for each in kin.values()}
    _record([each for each in arrived if isinstance(each, Receipt)], slugs, now)
    _keep_each([each for each in arrived if isinstance(each, Inbound)], slugs, now)
    return len(arrived), wrong


def _read(
    items: Sequence[Any], read: Callable[[Any, datetime], T], now: datetime
) -> tuple[list[T], list[Detail]]:
    """The items read, and what is wrong with the others."""
    arrived: list[T] = []
    wrong: list[Detail] = []
    for place, item in enumerate(items):
        try:
            arrived.append(read(item, now))
        except UnreadableError as error:
            field = error.field if len(items) == 1 else f"[{place}].{error.field}"
            wrong.append(Detail(field, "REQUIRED", str(error)))
    if not items:
        wrong.append(Detail("", "REQUIRED", "There is nothing in it."))
    return arrived, wrong


def _keep_each(arrived: Sequence[Inbound], slugs: dict[int, str], now: datetime) -> None:
    """Store handsets' messages, each once."""
    with transaction.atomic():
        arrivals.keep(arrived=_news(arrived, now), slugs=slugs)


def _news(arrived: Sequence[Inbound], now: datetime) -> list[Inbound]:
    """Those that did not come before: remembered for a day, from this transaction on."""
    named: dict[idempotency.Key, Inbound] = {}
    fresh: list[Inbound] = []
    for each in arrived:
        if each.handle is None:
            fresh.append(each)
        else:
            named.setdefault(_key(each.operator_id, each.handle), each)
    if not named:
        return fresh
    keys: list[UUID] = ids.new(len(named))
    claims = [Claim(key, b"", resource) for key, resource in zip(named, keys, strict=True)]
    known = idempotency.claim(claims=claims, now=now)
    return fresh + [each for key, each in named.items() if key not in known]


def _key(operator_id: int, remote_id: str) -> idempotency.Key:
    digest = hashlib.blake2b(remote_id.encode(), digest_size=16).hexdigest()
    return _NOBODY, f"intake:{operator_id}:{digest}"


def _document(request: HttpRequest, body: bytes) -> Any:
    """What the body says: JSON, or a form's fields.

    Raises:
        errors.UnsupportedMediaType: it is neither.
        errors.MalformedBody: it is not what it is declared as.
    """
    if not body:
        raise errors.MalformedBody("The body is missing.")
    kind = (request.META.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _fields(body.decode("utf-8", "replace"))
    if kind.endswith("json") or body.lstrip()[:1] in {b"{", b"["}:
        return _json_of(body)
    raise errors.UnsupportedMediaType("The body must be JSON or a form (application/x-www-form-urlencoded).")


def _json_of(body: bytes) -> Any:
    try:
        return http_intake.document(body)
    except ValueError as error:
        raise errors.MalformedBody(f"The body is not JSON: {error}.") from error
    except RecursionError as error:
        raise errors.MalformedBody("The body is nested too deeply.") from error


def _query(request: HttpRequest) -> dict[str, str]:
    return _fields(request.META.get("QUERY_STRING", ""))


def _fields(query: str) -> dict[str, str]:
    """A form's or a query's fields; of several with one name the first."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise errors.MalformedBody(f"There are more than {MOST_FIELDS} fields.") from error
    return {name: http_intake.cleaned(value) for name, value in reversed(pairs)}


def _body(request: HttpRequest) -> bytes:
    """The body, at most ``settings.MAX_BODY_BYTES``.

    Raises:
        errors.PayloadTooLarge: it is longer, whatever its Content-Length says.
    """
    limit: int = settings.MAX_BODY_BYTES
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdecimal() and int(length) > limit:
        raise errors.PayloadTooLarge
    stream: Stream = request
    if not length and "HTTP_TRANSFER_ENCODING" in request.META:
        # Django takes a body without a length for empty.
        stream = request.META["wsgi.input"]
    chunks: list[bytes] = []
    size = 0
    while size <= limit and (chunk := stream.read(limit + 1 - size)):
        chunks.append(chunk)
        size += len(chunk)
    if size > limit:
        raise errors.PayloadTooLarge
    return b"".join(chunks)


def _json(request: HttpRequest, members: dict[str, Any], *, status: int) -> HttpResponse:
    request_id = requestid.of(request)
    body = msgspec.json.encode(members | {"requestId": request_id})
    return HttpResponse(body, content_type=_JSON, status=status, headers={requestid.HEADER: request_id})


def _problem(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The error body that the API's clients see, too."""
    told = {
        "message": problem.message,
        "error": problem.message,
        "errorCode": problem.code,
        "details": [detail._asdict() for detail in problem.details],
        "retryable": problem.retryable,
    }
    response = _json(request, told, status=problem.status)
    for name, value in problem.headers.items():
        response.headers[name] = value
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.status in {errors.Unauthenticated.status, errors.PayloadTooLarge.status}:
        # Some of the body may still be to come.
        response.headers["Connection"] = "close"
    return response
