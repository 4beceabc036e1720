"""The templates' part of the OpenAPI document."""

from gateway.api.shapes import (
    CURSOR,
    LIMIT,
    READS,
    TIME,
    UUID,
    WRITES,
    Json,
    answer,
    array,
    body,
    in_path,
    nothing,
    null,
    object_,
    one_of,
    page,
    problems,
    query,
    resource,
    scope,
    text,
)
from gateway.api.templates import BODY_LENGTH, CATEGORIES, CHANNELS, LANGUAGE, LANGUAGE_LENGTH, NAME
from gateway.models import Template

_NAME = text(least=1, most=100, example="order_shipped") | {"pattern": f"^(?:{NAME.pattern})$"}
_LANGUAGE = text("BCP 47.", least=2, most=LANGUAGE_LENGTH, example="en") | {
    "pattern": f"^(?:{LANGUAGE.pattern})$"
}
_CHANNELS = array(
    one_of(*CHANNELS),
    minItems=1,
    maxItems=len(CHANNELS),
    description="Where it may be sent.",
    examples=[["sms"]],
)
_BODY = text(
    "With variables as {{name}} or {{1}}; other double braces are refused.",
    least=1,
    most=BODY_LENGTH,
    example="Hello {{name}}, your order {{order}} is on its way.",
) | {"format": "template"}
_CATEGORY = one_of(*CATEGORIES) | {"examples": ["utility"]}
_STATUS = one_of(
    *Template.Status.values,
    about="approved at once when it is for sms alone; else decided by the platform's operator.",
)
_SHOWN: Json = {
    "id": UUID,
    "name": _NAME,
    "language": _LANGUAGE,
    "channels": _CHANNELS,
    "body": _BODY,
    "variables": array(text(example="name"), description="Those of the body, in its order."),
    "category": _CATEGORY,
    "status": _STATUS | {"examples": ["approved"]},
    "reason": null(text("Why it was rejected.")) | {"examples": [None]},
    "createdAt": TIME,
    "updatedAt": TIME,
}
_MEMBERS: Json = {"language": null(_LANGUAGE), "channels": null(_CHANNELS), "category": null(_CATEGORY)}
_DEFAULTS: Json = {"language": "en", "channels": ["sms"], "category": CATEGORIES[0]}
_SAMPLE: Json = {
    "name": "order_shipped",
    "language": "en",
    "channels": ["sms"],
    "body": "Hello {{name}}, your order {{order}} is on its way.",
}
_ID = in_path("templateId", about="The template's id.")


def _call(operation: str, summary: str, **more: object) -> Json:
    call = {"tags": ["templates"], "operationId": operation, "summary": summary} | more
    return call | scope("templates:manage")


PART: Json = {
    "tags": [{"name": "templates", "description": "Texts with variables, approved before they are sent."}],
    "schemas": {
        "NewTemplate": object_(
            {
                "name": _NAME,
                "body": _BODY,
                **{name: kind | {"default": _DEFAULTS[name]} for name, kind in _MEMBERS.items()},
            },
            required=("name", "body"),
            closed=True,
            example=_SAMPLE,
        ),
        "TemplateChange": object_(
            {"name": null(_NAME), "body": null(_BODY), **_MEMBERS},
            closed=True,
            about="null and absent members stay. Another body, channel or category is decided about anew.",
            example={"body": "Hello {{name}}, order {{order}} is on its way."},
        ),
        "Template": resource(_SHOWN),
        "TemplateLine": object_(_SHOWN, required=tuple(_SHOWN)),
        "TemplatePage": page("TemplateLine"),
    },
    "paths": {
        "/v1/templates": {
            "get": _call(
                "listTemplates",
                "The account's templates, newest first.",
                parameters=[
                    LIMIT,
                    CURSOR,
                    query("name", "", text()),
                    query("language", "", text()),
                    query("channel", "One that the template is for.", one_of(*CHANNELS)),
                    query("status", "", one_of(*Template.Status.values)),
                ],
                responses={"200": answer("A page.", "TemplatePage")} | READS,
            ),
            "post": _call(
                "createTemplate",
                "Make a template.",
                requestBody=body("NewTemplate"),
                responses={"201": answer("Made.", "Template")} | WRITES | problems(409),
            ),
        },
        "/v1/templates/{templateId}": {
            "get": _call(
                "getTemplate",
                "One template.",
                parameters=[_ID],
                responses={"200": answer("The template.", "Template")} | READS | problems(404),
            ),
            "patch": _call(
                "changeTemplate",
                "Change a template.",
                parameters=[_ID],
                requestBody=body("TemplateChange"),
                responses={"200": answer("As it is now.", "Template")} | WRITES | problems(404, 409),
            ),
            "delete": _call(
                "deleteTemplate",
                "Remove a template; messages that were made with it keep their text.",
                parameters=[_ID],
                responses={"204": nothing("Removed.")} | READS | problems(404),
            ),
        },
    },
}
