"""Callbacks of the formats ``messagemedia`` and ``octopush`` in the OpenAPI document, where there is no template."""

from gateway.api.shapes import PHONE, TIME, UUID, Json, null, object_, one_of, text
from webhooks.api.bodies import ANSWERS, call
from webhooks.formats import messagemedia, octopush

_ID = text(example=UUID["examples"][0])
_METADATA: Json = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "examples": [{"order": "42"}],
}
_ACCOUNT = text("The account's name in URLs.", example="acme")
_WROTE = text("What the handset wrote.", example="Yes, please")
_STOP = text("What the handset wrote.", example="STOP")
_SOURCE = PHONE | {"description": "The handset."}
_MESSAGE = _ID | {"description": "The message that it answers; left out when there is none."}
_REPORT: Json = {
    "delivery_report_id": _ID,
    "source_number": PHONE | {"description": "Whom the message went to."},
    "date_received": TIME,
    "status": one_of(*sorted(set(messagemedia.STATUSES.values()))) | {"examples": ["delivered"]},
    "delay": text(example="0"),
    "submitted_date": TIME,
    "message_id": _ID,
    "original_text": text("Of the message.", example="Your code is 123456"),
    "vendor_account_id": object_(
        {"vendor_id": text(example=messagemedia.VENDOR), "account_id": _ACCOUNT},
        required=("vendor_id", "account_id"),
    ),
    "error_code": text("The numeric code.", example="220"),
    "metadata": _METADATA,
}
_REPLY: Json = {
    "account_id": _ACCOUNT,
    "reply_id": _ID,
    "destination_number": text("The number that it was written to.", example="4242"),
    "source_number": _SOURCE,
    "date_received": TIME,
    "message_id": _MESSAGE,
    "content": _WROTE,
    "metadata": _METADATA,
}
_OPT_OUT: Json = {
    "notification_id": _ID,
    "account_id": _ACCOUNT,
    "destination_number": text("The number or name that gets no more through.", example="4242"),
    "source_number": _SOURCE,
    "date_received": TIME,
    "message_id": _MESSAGE,
    "content": _STOP,
    "metadata": _METADATA,
}

_DATE = text(f"Time in {octopush.ZONE.key}.", example="2026-12-01 10:00:00")
_RECEIPT: Json = {
    "channel": one_of("sms", "whatsapp", "rcs"),
    "message_id": _ID,
    "number": PHONE,
    "status": text(
        f"{', '.join(sorted(set(octopush.STATUSES.values())))}, BAD_DESTINATION, BLACKLISTED_NUMBER, …",
        example="DELIVERED",
    ),
    "delivery_date": _DATE,
    "meta_data": _METADATA,
}
_ANSWER: Json = {
    "message_id": null(_ID),
    "number": PHONE,
    "text": _WROTE,
    "sim_card_number": text("The number that it was written to.", example="4242"),
    "reception_date": _DATE,
    "answer_date": _DATE,
}
_END: Json = {"message_id": null(_ID), "number": PHONE, "text": _STOP, "stop_date": _DATE}


def _object(members: Json, *, without: str = "") -> Json:
    return object_(members, required=tuple(name for name in members if name != without))


SCHEMAS: Json = {
    "MessageMediaReport": _object(_REPORT),
    "MessageMediaReply": _object(_REPLY, without="message_id"),
    "MessageMediaOptOut": _object(_OPT_OUT, without="message_id"),
    "OctopushReceipt": _object(_RECEIPT),
    "OctopushReply": _object(_ANSWER),
    "OctopushOptOut": _object(_END),
}
_EMPTY = ANSWERS | {"2XX": {"description": "Received; with no body at all, and within 1 s."}}

CALLBACKS: Json = {
    "messagemediaReport": call("onReport", "Format messagemedia: a delivery report", "MessageMediaReport"),
    "messagemediaReply": call("onReply", "Format messagemedia: a reply", "MessageMediaReply"),
    "messagemediaOptOut": call("onOptOut", "Format messagemedia: an opt-out", "MessageMediaOptOut"),
    "octopushReceipt": call(
        "onOctopushReceipt", "Format octopush: a delivery receipt", "OctopushReceipt", _EMPTY
    ),
    "octopushReply": call("onOctopushReply", "Format octopush: a reply", "OctopushReply", _EMPTY),
    "octopushOptOut": call("onOctopushStop", "Format octopush: a stop", "OctopushOptOut", _EMPTY),
}
