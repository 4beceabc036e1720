"""The ledger's nouns, one a file."""

from gateway.models.api_key import ApiKey
from gateway.models.bucket import Bucket
from gateway.models.due_message import DueMessage
from gateway.models.event import Event
from gateway.models.idempotency_key import IdempotencyKey
from gateway.models.inbound_message import InboundMessage
from gateway.models.message import Message
from gateway.models.tenant import Tenant

__all__ = ["ApiKey", "Bucket", "DueMessage", "Event", "IdempotencyKey", "InboundMessage", "Message", "Tenant"]
