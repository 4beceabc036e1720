"""The events a webhook may name: ours, for every channel, and MessageMedia's nine, which are their SMS forms."""

from typing import Final

OWN: Final = frozenset(
    {
        "message.accepted",
        "message.sent",
        "message.delivered",
        "message.read",
        "message.failed",
        "message.expired",
        "message.rejected",
        "message.canceled",
        "message.received",
        "contact.opted_out",
        "contact.opted_in",
        "webhook.disabled",
    }
)
# What handsets bring about: these belong to an inbound message, and everything about them is in the event's data.
RECEIVED: Final = "message.received"
INBOUND: Final = (RECEIVED, "contact.opted_out", "contact.opted_in")
# What became of another webhook of the tenant: in the place of the message stands that webhook's id.
DISABLED: Final = "webhook.disabled"
# Events of no message of ours: everything about them is in their data.
OF_NO_MESSAGE: Final = (*INBOUND, DISABLED)
# RECEIVED_MMS may be named, but no channel of ours brings one.
MESSAGEMEDIA: Final[dict[str, str | None]] = {
    "RECEIVED_SMS": "message.received",
    "RECEIVED_MMS": None,
    "OPT_OUT_SMS": "contact.opted_out",
    "ENROUTE_DR": "message.accepted",
    "SUBMITTED_DR": "message.sent",
    "DELIVERED_DR": "message.delivered",
    "EXPIRED_DR": "message.expired",
    "REJECTED_DR": "message.rejected",
    "FAILED_DR": "message.failed",
}


def is_known(name: str) -> bool:
    """Whether a webhook may subscribe to the name."""
    return name in OWN or name in MESSAGEMEDIA
