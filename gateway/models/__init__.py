"""The ledger's nouns, one a file."""

from gateway.models.api_key import ApiKey
from gateway.models.bucket import Bucket
from gateway.models.contact import Contact
from gateway.models.due_message import DueMessage
from gateway.models.event import Event
from gateway.models.fallback_timer import FallbackTimer
from gateway.models.idempotency_key import IdempotencyKey
from gateway.models.inbound_message import InboundMessage
from gateway.models.keyword import Keyword
from gateway.models.message import Message
from gateway.models.number import Number
from gateway.models.opt_out import OptOut
from gateway.models.tally import Tally, TallyDelta
from gateway.models.template import Template
from gateway.models.tenant import Tenant

__all__ = [
    "ApiKey",
    "Bucket",
    "Contact",
    "DueMessage",
    "Event",
    "FallbackTimer",
    "IdempotencyKey",
    "InboundMessage",
    "Keyword",
    "Message",
    "Number",
    "OptOut",
    "Tally",
    "TallyDelta",
    "Template",
    "Tenant",
]
