"""What the API says of itself: its error codes, this document, its page."""

from gateway import errors
from gateway.api.described import codes
from gateway.api.shapes import Json, answer, header, null, object_, page, problems, text, whole

_LIST = "\n".join(f"{code}: {about}" for code, about in codes.DETAILS.items())
_PUBLIC: Json = {"tags": ["meta"], "security": []}
_DOCUMENT: Json = {
    "description": "This document. The request's id is in the header only.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["openapi", "info", "paths", "components"],
                "properties": {"openapi": {"type": "string"}},
            },
            "example": {"openapi": "3.1.0", "info": {}, "paths": {}, "components": {}},
        }
    },
    "headers": header("X-Request-Id"),
}
_PAGE: Json = {
    "description": "The page.",
    "content": {"text/html": {"schema": {"type": "string"}}},
    "headers": header("X-Request-Id"),
}

PART: Json = {
    "tags": [{"name": "meta", "description": "What the API says of itself. No key is needed."}],
    "schemas": {
        "ErrorCode": object_(
            {
                "errorCode": text(example="NO_ROUTE"),
                "status": null(
                    whole(
                        "The HTTP status; null for codes that only messages and events carry.",
                        least=400,
                        most=599,
                        example=422,
                    )
                ),
                "retryable": {"type": "boolean", "examples": [False]},
                "message": text(example=errors.NoRoute.message),
                "action": text("What to do about it.", example=errors.NoRoute.action),
            },
            required=("errorCode", "status", "retryable", "message", "action"),
        ),
        "ErrorCodePage": page("ErrorCode"),
    },
    "paths": {
        "/v1/error-codes": {
            "get": _PUBLIC
            | {
                "operationId": "listErrorCodes",
                "summary": "Every errorCode, with what to do about it.",
                "description": f"All of them on one page. The codes of details[] besides these:\n{_LIST}",
                "responses": {"200": answer("All of them.", "ErrorCodePage"), **problems(500)},
            }
        },
        "/v1/openapi.json": {
            "get": _PUBLIC
            | {
                "operationId": "getOpenApi",
                "summary": "This document, for programs.",
                "responses": {"200": _DOCUMENT, **problems(500)},
            }
        },
        "/v1/docs": {
            "get": _PUBLIC
            | {
                "operationId": "getDocs",
                "summary": "The same, for people.",
                "responses": {"200": _PAGE, **problems(500)},
            }
        },
    },
}
