"""What a message is made of when it comes, a schema a channel: each has its own lengths and contents."""

from gateway.api import schema
from gateway.api.shapes import PHONE, TIME, URL, Json, array, null, object_, one_of, ref, text, whole

NULL: Json = {"type": "null"}
CLIENT_ID = text(
    "A name of your own: the same message under it again within 24 hours is not sent twice.",
    least=1,
    most=255,
    example="order-42",
)
FROM: Json = {
    "type": "string",
    "format": "sender",
    "pattern": r"^(?:(?=.*[A-Za-z])[A-Za-z0-9 ._&'+-]{1,11}|\+?[0-9]{3,15})$",
    "description": "At most 11 letters, digits, spaces and . _ & ' + -, one of them a letter; or 3 to 15 digits.",
    "examples": ["ACME"],
}
METADATA: Json = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "maxProperties": schema.PAIRS,
    "description": "Strings of your own, at most 4 KiB as JSON; they come back in callbacks.",
    "examples": [{"order": "42"}],
}
_SEND_AT = TIME | {"description": "At most 35 days ahead, with a time zone; what is past is sent at once."}
_TEMPLATE = object_(
    {
        "name": text(least=1, most=100, example="order_shipped"),
        "language": null(text("BCP 47.", least=2, most=35, example="en")),
        "variables": null(
            {
                "type": "object",
                "additionalProperties": {"type": ["string", "number"]},
                "description": "A value for each {{variable}} of the body, at most 1,024 characters. On whatsapp "
                "also what stands beside the body: header.1, header.image, header.video, header.document, "
                "header.filename, button.0.url, button.0.payload, button.0.code.",
                "examples": [{"name": "Ann"}],
            }
        ),
    },
    required=("name",),
    closed=True,
    about="Its text is made at acceptance. 422 unless it exists, is approved, and every variable is given.",
)


def _media(**place: Json) -> list[Json]:
    """Media that are found in this place, by a URL or an id: documents, which have names, and others."""
    (found,) = place
    shared = {"url": NULL, "id": NULL} | place | {"caption": null(text(most=1024))}
    named = {"filename": null(text("What the handset calls it.", least=1, most=240, example="invoice.pdf"))}
    others = one_of(*sorted(schema.MEDIA_TYPES - {"document"}))
    return [
        object_(shared | {"type": others, "filename": NULL}, required=(found, "type"), closed=True),
        object_(shared | {"type": one_of("document")} | named, required=(found, "type"), closed=True),
    ]


_MEDIA_ID = text("Of media that WhatsApp keeps already.", least=1, most=255, example="1013859600285441")


def _content(channel: str) -> Json:
    """Exactly one kind of content, as the channel takes it."""
    kinds: dict[str, Json] = {
        "text": text(least=1, most=schema.CHANNELS[channel], example="Your code is 123456"),
        "template": ref("TemplateContent"),
    }
    if channel in schema.MEDIA_CHANNELS:
        kinds["media"] = ref("WhatsAppMediaContent" if channel == "whatsapp" else "MediaContent")
    names = ("text", "template", "media")
    return {
        "description": "Exactly one of text, template and, not on sms, media.",
        "oneOf": [
            object_({other: kinds[name] if other == name else NULL for other in names}, closed=True)
            | {"required": [name]}
            for name in kinds
        ],
    }


def _message(channel: str) -> Json:
    channels: Json = {"type": "string", "const": channel}
    if channel == "sms":
        channels = {"type": ["string", "null"], "enum": ["sms", None], "default": "sms"}
    return object_(
        {
            "to": PHONE | {"description": "The recipient, E.164 or a form that makes it."},
            "channel": channels,
            "content": ref(_CONTENTS[channel]),
            "from": null(FROM),
            "clientMessageId": null(CLIENT_ID),
            "callbackUrl": null(URL | {"description": "Gets this message's events, signed."}),
            "metadata": null(METADATA),
            "sendAt": null(_SEND_AT),
            "validitySeconds": null(whole("Then it expires.", least=60, most=172_800, example=86_400)),
            "priority": null(one_of(*schema.PRIORITIES)) | {"default": "normal"},
            "fallback": null(_FALLBACK),
        },
        required=("to", "content") if channel == "sms" else ("to", "channel", "content"),
        closed=True,
        about=f"Over {channel}.",
        example={"to": "+14155550101", "channel": channel, "content": {"text": "Your code is 123456"}},
    )


_CONTENTS = {"sms": "SmsContent", "whatsapp": "WhatsappContent", "rcs": "RcsContent"}
_MESSAGES = {"sms": "NewSms", "whatsapp": "NewWhatsapp", "rcs": "NewRcs"}
_FALLBACK = array(
    {
        "oneOf": [
            object_(
                {
                    "channel": {"type": "string", "const": channel},
                    "content": ref(_CONTENTS[channel]),
                    "from": null(FROM),
                    "afterSeconds": null(
                        whole(
                            "Goes on to this step when the one before is not delivered in that time; without it "
                            "only when that one failed.",
                            least=1,
                            most=86_400,
                        )
                    ),
                },
                required=("channel", "content"),
                closed=True,
            )
            for channel in schema.CHANNELS
        ]
    },
    maxItems=schema.FALLBACKS,
    description="What to try after it, in this order.",
    examples=[[{"channel": "sms", "content": {"text": "Your code is 123456"}, "afterSeconds": 60}]],
)

SCHEMAS: Json = {
    "TemplateContent": _TEMPLATE,
    "MediaContent": {"oneOf": _media(url=URL)},
    "WhatsAppMediaContent": {"oneOf": [*_media(url=URL), *_media(id=_MEDIA_ID)]},
    **{name: _content(channel) for channel, name in _CONTENTS.items()},
    **{name: _message(channel) for channel, name in _MESSAGES.items()},
    "NewMessage": {"oneOf": [ref(name) for name in _MESSAGES.values()]},
}
