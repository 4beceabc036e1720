"""Taking a message back before an operator has it."""

from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from gateway import errors, lifecycle
from gateway.lifecycle import Move
from gateway.models import Message
from gateway.statuses import Status


def cancel(*, tenant_id: int, message_id: UUID, now: datetime) -> None:
    """Cancel the tenant's message; one that is cancelled already stays so.

    Its due row is what a relay would take: whoever deletes it has the message.

    Raises:
        errors.NotFound: the tenant has no such message.
        errors.AlreadySent: an operator has it, or it has ended.
    """
    with transaction.atomic():
        if _take(tenant_id, message_id):
            if not lifecycle.move(moves=[Move(message_id, Status.CANCELED, now)]):
                raise errors.AlreadySent
            return
    status = (
        Message.objects.for_tenant(tenant_id).filter(pk=message_id).values_list("status", flat=True).first()
    )
    if status is None:
        raise errors.NotFound
    if status != Status.CANCELED:
        raise errors.AlreadySent


def _take(tenant_id: int, message_id: UUID) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM gateway_duemessage WHERE message_id = %s AND tenant_id = %s", [message_id, tenant_id]
        )
        return bool(cursor.rowcount)
