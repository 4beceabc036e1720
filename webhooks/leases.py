"""Leases of due callbacks: their length, and what their holder may do with them.

A lease is the moment in the row's ``next_attempt_at``. Every statement here compares it, so that a holder whose
lease ran out, and whose callback somebody else claimed, changes nothing.
"""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import connection

if TYPE_CHECKING:
    from webhooks.dispatch import Item

# Seconds of a lease, and the age at which it is renewed while its callback is in hand.
LEASE_SECONDS = 10
RENEW_SECONDS = 5.0
# Callbacks leased to one endpoint at once, until more is known of it.
DEFAULT_CAP = 64

_GIVE_BACK = """
UPDATE webhooks_duecallback d SET next_attempt_at = now(), leased = false
FROM unnest(%s::uuid[], %s::timestamptz[]) AS r(id, lease)
WHERE d.callback_id = r.id AND d.next_attempt_at = r.lease
"""
_RENEW = """
UPDATE webhooks_duecallback d SET next_attempt_at = now() + %s * interval '1 second'
FROM unnest(%s::uuid[], %s::timestamptz[]) AS r(id, lease)
WHERE d.callback_id = r.id AND d.next_attempt_at = r.lease
RETURNING d.callback_id::text, d.next_attempt_at
"""


def give_back(*, items: "Sequence[Item]") -> None:
    """Let callbacks that were not tried be claimed again."""
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, [[item.callback_id for item in items], [item.lease for item in items]])


def renew(*, items: "Sequence[Item]") -> set[str]:
    """Extend leases; an item whose lease is another's by now keeps its old one and loses the fence.

    Returns:
        The endpoints of items that lost it now: removed or held meanwhile, or claimed by somebody else.
    """
    now = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(
            _RENEW, [LEASE_SECONDS, [item.callback_id for item in items], [item.lease for item in items]]
        )
        renewed = dict(cursor.fetchall())
    lost = set()
    for item in items:
        until = renewed.get(item.callback_id)
        if until is None:
            # It cannot come back: never asked about again.
            item.leased_at = math.inf
            lost.add(item.endpoint)
        else:
            item.leased_at, item.lease = now, until
    return lost
