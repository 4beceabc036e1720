"""The webhooks' part of the OpenAPI document: what exists, as it is answered."""

from typing import Any

from webhooks import catalogue

Json = dict[str, Any]

_EVENTS = sorted({*catalogue.OWN, *catalogue.MESSAGEMEDIA})
_CHOSEN: Json = {
    "url": {"type": "string", "maxLength": 1000, "description": "http or https."},
    "method": {"type": "string", "enum": ["POST", "PUT", "PATCH", "DELETE", "GET"]},
    "encoding": {"type": "string", "enum": ["JSON", "FORM_ENCODED", "XML"]},
    "events": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": _EVENTS}},
    "headers": {"type": ["object", "null"], "additionalProperties": {"type": "string", "maxLength": 1000}},
    "description": {"type": ["string", "null"]},
    "read_timeout": {"type": ["integer", "null"], "minimum": 1, "maximum": 60_000, "description": "ms"},
    "retries": {
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": 5,
        "description": "Given: fixed retries.",
    },
    "retry_delay": {"type": ["integer", "null"], "minimum": 5, "maximum": 60, "description": "s"},
}
_REQUIRED = ["url", "method", "encoding", "events"]
_WEBHOOK: Json = {
    "type": "object",
    "required": ["id", *_REQUIRED, "headers", "retries", "format", "active"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        **_CHOSEN,
        "retryPolicy": {"type": "string", "enum": ["exponential", "fixed"]},
        "format": {"type": "string"},
        "active": {"type": "boolean"},
        "disabledReason": {"type": ["string", "null"]},
        "createdAt": {"type": "string", "format": "date-time"},
        "secret": {"type": "string", "description": "whsec_…; in the answer to POST only."},
        "requestId": {"type": "string"},
    },
}
_PAGE: Json = {
    "type": "object",
    "required": ["page", "pageSize", "pageData"],
    "properties": {
        "page": {"type": "integer"},
        "pageSize": {"type": "integer"},
        "pageData": {"type": "array", "items": {"$ref": "#/components/schemas/Webhook"}},
        "requestId": {"type": "string"},
    },
}


def _answer(about: str, name: str) -> Json:
    return {
        "description": about,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }


def _call(
    operation: str,
    summary: str,
    answers: Json,
    *problems: str,
    parameters: tuple[Json, ...] = (),
    body: str = "",
    example: Json | None = None,
) -> Json:
    call: Json = {"tags": ["webhooks"], "operationId": operation, "summary": summary}
    if parameters:
        call["parameters"] = list(parameters)
    if body:
        content = {"schema": {"$ref": f"#/components/schemas/{body}"}, "example": example}
        call["requestBody"] = {"required": True, "content": {"application/json": content}}
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in ("401", "403", *problems)}
    return {**call, "responses": answers | refused}


_KEY: Json = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_NUMBER: Json = {"type": "integer", "minimum": 0}
_PAGING: tuple[Json, ...] = (
    {"name": "page", "in": "query", "description": "From 0.", "schema": _NUMBER},
    {"name": "pageSize", "in": "query", "description": "0 is 100.", "schema": _NUMBER},
)

PART: Json = {
    "schemas": {
        "NewWebhook": {"type": "object", "required": _REQUIRED, "properties": _CHOSEN},
        "WebhookChange": {"type": "object", "properties": _CHOSEN, "description": "Null means unchanged."},
        "Webhook": _WEBHOOK,
        "WebhookPage": _PAGE,
    },
    "paths": {
        "/v1/webhooks/messages": {
            "post": _call(
                "createWebhook",
                "Subscribe a URL to events. The secret that signs its callbacks is in this answer only.",
                {"201": _answer("Created", "Webhook")},
                *("400", "409", "413", "415", "422", "503"),
                body="NewWebhook",
                example={
                    "url": "https://example.com/hook",
                    "method": "POST",
                    "encoding": "JSON",
                    "events": ["message.delivered"],
                },
            ),
            "get": _call(
                "listWebhooks",
                "The account's webhooks.",
                {"200": _answer("A page", "WebhookPage")},
                *("400", "503"),
                parameters=_PAGING,
            ),
        },
        "/v1/webhooks/messages/{id}": {
            "get": _call(
                "getWebhook",
                "One webhook.",
                {"200": _answer("Found", "Webhook")},
                *("404", "503"),
                parameters=(_KEY,),
            ),
            "patch": _call(
                "changeWebhook",
                "Change what is given.",
                {"200": _answer("Changed", "Webhook")},
                *("400", "404", "409", "413", "415", "422", "503"),
                parameters=(_KEY,),
                body="WebhookChange",
                example={"events": ["message.delivered", "message.failed"]},
            ),
            "delete": _call(
                "deleteWebhook",
                "Unsubscribe. What is still to be called back to it is dropped.",
                {"204": {"description": "Deleted"}},
                *("404", "503"),
                parameters=(_KEY,),
            ),
        },
    },
}
