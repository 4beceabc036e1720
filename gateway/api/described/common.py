"""What the calls of every resource share: credentials, headers, errors."""

from typing import Any

from gateway import errors
from gateway.api import shapes
from gateway.api.described import codes
from gateway.api.shapes import Json, array, header, object_, one_of, ref, text, whole


def components() -> Json:
    """The document's ``components``, made anew; the error codes are those of the apps that are loaded."""
    known = {entry["errorCode"]: entry for entry in errors.catalogue()}
    answered = [code for code, entry in known.items() if entry["status"] is not None]
    return {
        "schemas": {
            "Problem": shapes.problem(),
            "Detail": _DETAIL,
            "Failure": _FAILURE,
            "Code": one_of(*answered, about="Stable; /v1/error-codes says what to do about each.")
            | {"examples": ["VALIDATION_FAILED"]},
            "DetailCode": one_of(*codes.DETAILS, *answered, about="What is wrong with it.")
            | {"examples": ["INVALID_TYPE"]},
        },
        "responses": {str(status): _response(status, about, known) for status, about in _STATUSES.items()},
        "parameters": {"DeveloperMode": _DEVELOPER_MODE, "DeveloperModeOnly": _DEVELOPER_MODE_ONLY},
        "headers": _HEADERS,
        "securitySchemes": _SECURITY,
    }


_DETAIL = object_(
    {
        "field": text(
            "The member's path (content.text, messages[3].to), a parameter's or header's name, or empty.",
            example="to",
        ),
        "code": ref("DetailCode"),
        "message": text("A sentence for people.", example="Must be a string."),
    },
    required=("field", "code", "message"),
)
_FAILURE = object_(
    {
        "message": text(example="to: Must be a string."),
        "error": text("Equals message.", example="to: Must be a string."),
        "errorCode": ref("Code"),
        "details": array(ref("Detail")),
    },
    required=("message", "error", "errorCode", "details"),
    about="Why one item of several was refused.",
)


# The status, what it means, the code of its example, and the member that the example names.
_STATUSES: dict[int, tuple[str, str, str]] = {
    400: ("Malformed or not valid; details says where.", "VALIDATION_FAILED", "to"),
    401: ("The credentials are missing or wrong.", "UNAUTHENTICATED", ""),
    403: ("The key may not do this.", "PERMISSION_DENIED", ""),
    404: ("There is no such thing, or it is another account's.", "NOT_FOUND", ""),
    405: ("The path does not take the method; Allow names those that it does.", "METHOD_NOT_ALLOWED", ""),
    409: ("The request conflicts with what is there.", "CONFLICT", ""),
    413: ("The body is larger than 2 MiB.", "PAYLOAD_TOO_LARGE", ""),
    415: ("The body is not what its Content-Type must say.", "UNSUPPORTED_MEDIA_TYPE", ""),
    422: ("Well-formed, but it cannot be done.", "NO_ROUTE", ""),
    429: ("Too much at once; wait for as long as Retry-After says.", "RATE_LIMITED", ""),
    500: ("Something went wrong on the platform's side; safe to repeat.", "INTERNAL_ERROR", ""),
    503: ("The platform cannot take requests at the moment; safe to repeat.", "SERVICE_UNAVAILABLE", ""),
}


def _response(status: int, said: tuple[str, str, str], known: dict[str, dict[str, Any]]) -> Json:
    about, code, field = said
    content = {"schema": ref("Problem"), "example": _example(known[code], field)}
    headers = header("X-Request-Id") | (header("Retry-After") if status in {429, 503} else {})
    if status == 401:
        headers |= header("WWW-Authenticate")
    elif status not in {500, 503}:
        headers |= header("RateLimit-Limit") | header("RateLimit-Remaining") | header("RateLimit-Reset")
    return {"description": about, "content": {"application/json": content}, "headers": headers}


def _example(entry: dict[str, Any], field: str) -> Json:
    detail = {"field": field, "code": "REQUIRED", "message": "This member is required."}
    message = f"{field}: {detail['message']}" if field else entry["message"]
    return {
        "message": message,
        "error": message,
        "errorCode": entry["errorCode"],
        "details": [detail] if field else [],
        "retryable": entry["retryable"],
        "requestId": shapes.REQUEST_ID["examples"][0],
    }


_TRUE = "[Tt][Rr][Uu][Ee]"
_DEVELOPER_MODE = shapes.in_header(
    "x-developer-mode",
    "With true the request is about the account's sandbox, whose data are its own.",
    {"type": "string", "pattern": f"^({_TRUE}|[Ff][Aa][Ll][Ss][Ee])$", "default": "false"},
)
_DEVELOPER_MODE_ONLY = {
    **shapes.in_header(
        "x-developer-mode",
        "This is in the sandbox only.",
        {"type": "string", "pattern": f"^{_TRUE}$", "examples": ["true"]},
    ),
    "required": True,
}
_HEADERS: Json = {
    "X-Request-Id": {
        "description": "The request's id: the caller's X-Request-Id if it is a plain token, else a new one.",
        "required": True,
        "schema": text(least=1, most=128),
    },
    "RateLimit-Limit": {"description": "The key's requests a second.", "schema": whole(least=1)},
    "RateLimit-Remaining": {"description": "Requests that may come at once now.", "schema": whole()},
    "RateLimit-Reset": {"description": "Seconds until all of them may again.", "schema": whole()},
    "Retry-After": {"description": "Seconds to wait.", "schema": whole(least=1)},
    "WWW-Authenticate": {"description": "How to sign in.", "required": True, "schema": text()},
    "Idempotent-Replayed": {
        "description": "true: the answer is that of an earlier request with the same key.",
        "schema": one_of("true"),
    },
}
_SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <apiKey>`"},
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "`x-api-key: <apiKey>`. `Authorization: x-api-key: <apiKey>` is the same.",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "apiKey as user, apiSecret as password."},
    "hmac": {
        "type": "http",
        "scheme": "hmac",
        "description": (
            '`Authorization: hmac username="<apiKey>", algorithm="hmac-sha1|hmac-sha256", headers="<names>", '
            'signature="<base64>"`. The names are those of headers, with blanks between, and request-line. The HMAC, '
            "with apiSecret as its key, is of a line a name, in that order, joined by \\n: the name as it is listed, "
            "a colon, a space and the header's value; for request-line `POST /v1/messages HTTP/1.1`. Date and "
            "request-line must be among the names, and with a body also Content-MD5 or x-Content-MD5: its MD5 in "
            "hexadecimal. Date may be off by 300 s."
        ),
    },
}
