"""The sandbox's part of the OpenAPI document."""

from gateway.api import sandbox, schema
from gateway.api.opt_outs import SENDER
from gateway.api.shapes import PHONE, WRITES, Json, answer, body, null, object_, one_of, scope, text

_ABOUT = """A request with the header x-developer-mode: true is about the account's sandbox: nothing of it reaches \
an operator, and nothing made there is seen without the header. Recipients stand for outcomes: +15005550001 is \
refused as invalid (400), +15005550002 has no route (422), +15005550004 has opted out (422); +15005550006 is \
delivered, +15005550007 fails, +15005550008 expires, +15005550009 is rejected by the operator, +15005550010 is sent \
and never reported, +15005550011 is delivered after 10 seconds. Any other number is delivered."""
_TO: Json = {
    "type": "string",
    "format": "sender",
    "pattern": f"^(?:{SENDER.pattern})$",
    "description": f"The number or name that it is written to; {sandbox.TO} when not given.",
    "examples": ["ACME"],
}

PART: Json = {
    "tags": [{"name": "sandbox", "description": _ABOUT}],
    "schemas": {
        "SimulatedInbound": object_(
            {
                "from": PHONE | {"description": "The handset that writes."},
                "to": null(_TO),
                "text": text(least=1, most=sandbox.TEXT_LENGTH, example="STOP"),
                "channel": null(one_of(*schema.CHANNELS)) | {"default": "sms"},
            },
            required=("from", "text"),
            closed=True,
            example={"from": "+14155550101", "to": "ACME", "text": "STOP"},
        )
    },
    "paths": {
        "/v1/sandbox/inbound": {
            "post": {
                "tags": ["sandbox"],
                "operationId": "simulateInbound",
                "summary": "Have a handset write to the account's sandbox.",
                "description": (
                    "What follows is as for a real one: keywords, opt-outs, replies, callbacks. Without the header "
                    "x-developer-mode: true the answer is 403 FEATURE_DISABLED."
                ),
                "requestBody": body("SimulatedInbound"),
                "responses": {"201": answer("It has come in.", "Inbound")} | WRITES,
            }
            | scope("messages:send")
        }
    },
}
