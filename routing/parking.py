"""Receipts that are kept until their part is known, or until what they say may stand for a whole message."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from psycopg.types.json import Jsonb

from gateway import ids
from routing.contract import Receipt, ReceiptState


class Settles(NamedTuple):
    """The message, and the step of its fallback chain, that a receipt waits to settle."""

    message_id: UUID
    step: int | None


_PARK = """
INSERT INTO routing_parkedreceipt (id, operator_id, remote_id, receipt, received_at, next_match_at, tries)
SELECT u.id, u.operator_id, u.remote_id, u.receipt, %(now)s, %(next)s, 0
FROM unnest(%(ids)s::uuid[], %(operators)s::int[], %(remote_ids)s::text[], %(receipts)s::jsonb[])
    AS u(id, operator_id, remote_id, receipt)
"""


def park(
    *,
    receipts: Sequence[Receipt],
    keys: Sequence[str],
    settles: Sequence[Settles] = (),
    next_match_at: datetime,
    now: datetime,
) -> None:
    """Keep receipts, to be looked at again.

    ``keys``, the ids of their parts where those are right about the operator's ids, and ``settles``, where it is
    given, go with them one by one.
    """
    if not receipts:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _PARK,
            {
                "ids": ids.new(len(receipts)),
                "operators": [receipt.operator_id for receipt in receipts],
                "remote_ids": list(keys),
                "receipts": [Jsonb(_dump(*pair)) for pair in zip_longest(receipts, settles)],
                "now": now,
                "next": next_match_at,
            },
        )


def _dump(receipt: Receipt, settles: Settles | None) -> dict[str, Any]:
    return {
        "ids": [receipt.remote_id, *receipt.other_ids],
        "state": receipt.state.value,
        "occurredAt": receipt.occurred_at.isoformat(),
        "code": receipt.code,
        "errorCode": receipt.error_code,
        "raw": receipt.raw,
        "settles": settles and str(settles.message_id),
        "step": settles and settles.step,
    }


def load(operator_id: int, remote_id: str, kept: dict[str, Any]) -> Receipt:
    """A receipt as it came; ``kept`` is the row's JSON, an older one without the ids that it bears."""
    first, *others = kept.get("ids") or [remote_id]
    return Receipt(
        operator_id=operator_id,
        remote_id=first,
        state=ReceiptState(kept["state"]),
        occurred_at=datetime.fromisoformat(kept["occurredAt"]).astimezone(UTC),
        code=kept["code"],
        error_code=kept["errorCode"],
        raw=kept["raw"],
        other_ids=tuple(others),
    )
