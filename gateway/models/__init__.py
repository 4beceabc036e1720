"""The ledger's nouns, one a file."""

from gateway.models.api_key import ApiKey
from gateway.models.due_message import DueMessage
from gateway.models.event import Event
from gateway.models.idempotency_key import IdempotencyKey
from gateway.models.message import Message
from gateway.models.tenant import Tenant

__all__ = ["ApiKey", "DueMessage", "Event", "IdempotencyKey", "Message", "Tenant"]
