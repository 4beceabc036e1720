"""The binds that an operator allows over all worker processes, shared out among them.

``binds`` of an operator's settings is how many a process opens; ``max_binds`` is how many all of them may have
together, none given is any number. A slot is an advisory lock of PostgreSQL, held by a session that this process has
for nothing else: a process that is killed or cut off loses its slots with the session, and another takes them at its
next look. The sessions need a connection of their own to the server: a pooler that shares them by transaction would
share the locks, too.
"""

import time
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import structlog
from django.db import Error as DatabaseError
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from routing.models import Operator

log = structlog.get_logger(__name__)

# The first half of the locks' keys; the second is the operator's id and the slot's number.
NAMESPACE = 0x62696E64
# The most that an operator may allow.
MOST = 1_000
# After the database was away its workers claim what they had; who had less waits so long, for the others' binds are
# still up.
RECLAIM_SECONDS = 3.0

# Evaluated row by row until enough are locked.
_TAKE = """
SELECT key FROM unnest(%(keys)s::int[]) AS key
WHERE pg_try_advisory_lock(%(namespace)s, key) LIMIT %(wanted)s
"""
_RELEASE = "SELECT pg_advisory_unlock(%(namespace)s, key) FROM unnest(%(keys)s::int[]) AS key"
# A worker's machine that is gone without a word is noticed in seconds, not hours.
_SESSION = """
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
SET idle_session_timeout = 0
"""


class Wish(NamedTuple):
    """What a process wants of an operator: ``binds`` of the ``limit`` that all may have."""

    binds: int
    limit: int


def wish_of(operator: Operator) -> Wish | None:
    """What a process would hold of an operator; None when all may have as many binds as they like.

    Settings that make no sense are the transport's to refuse.
    """
    limit, binds = operator.settings.get("max_binds"), operator.settings.get("binds", 1)
    if not (_counts(limit) and _counts(binds)):
        return None
    wanted, most = int(float(binds)), int(float(limit))
    return Wish(min(wanted, most), most)


def _counts(value: Any) -> bool:
    try:
        return 1 <= float(value) <= MOST
    except (TypeError, ValueError, OverflowError):
        return False


class Slots:
    """The slots that this process holds. Used by one thread at a time."""

    def __init__(self) -> None:
        # By operator, the second halves of the keys.
        self._held: dict[int, list[int]] = {}
        self._session: BaseDatabaseWrapper | None = None
        self._take_more_at = 0.0

    def hold(self, *, wishes: Mapping[int, Wish], keep: Container[int] = ()) -> dict[int, int]:
        """Keep, take and give back slots until they are as wished, as far as other processes leave any.

        Those of the operators in ``keep`` are not given back yet, nor new ones taken: their binds are being closed.

        Returns:
            For each operator's id how many this process has now.

        Raises:
            django.db.Error: the database is away; what is held is known again after a call that does not raise.
        """
        if not (wishes or self._held):
            return {}
        try:
            self._open()
            for operator_id in [key for key in self._held if key not in keep]:
                wish = wishes.get(operator_id)
                self._release(operator_id, wish or Wish(0, 0))
            if time.monotonic() >= self._take_more_at:
                for operator_id in [key for key in wishes if key not in keep]:
                    self._take_more(operator_id, wishes[operator_id])
        except DatabaseError:
            self._drop()
            raise
        return {operator_id: len(self._held.get(operator_id, ())) for operator_id in wishes}

    def _open(self) -> None:
        """See that the session is there; one that is new claims what the one before it held."""
        if self._session is not None:
            self._ask("SELECT 1", None)
            return
        self._session = connection.copy()
        self._session.inc_thread_sharing()
        self._ask(_SESSION, None)
        before, self._held = self._held, {}
        for operator_id, keys in before.items():
            self._take(operator_id, keys, len(keys))

    def _take_more(self, operator_id: int, wish: Wish) -> None:
        held = self._held.get(operator_id, [])
        if len(held) < wish.binds:
            first = operator_id * MOST
            free = [key for key in range(first, first + wish.limit) if key not in held]
            self._take(operator_id, free, wish.binds - len(held))

    def _take(self, operator_id: int, keys: list[int], wanted: int) -> None:
        taken = self._ask(_TAKE, {"namespace": NAMESPACE, "keys": keys, "wanted": wanted})
        if taken:
            self._held.setdefault(operator_id, []).extend(key for (key,) in taken)
            log.info("binds.taken", operator_id=operator_id, slots=len(self._held[operator_id]))

    def _release(self, operator_id: int, wish: Wish) -> None:
        """Give back what is more than wished, and the slots beyond a limit that was lowered."""
        held = self._held[operator_id]
        kept = [key for key in held if key < operator_id * MOST + wish.limit][: wish.binds]
        if surplus := [key for key in held if key not in kept]:
            self._ask(_RELEASE, {"namespace": NAMESPACE, "keys": surplus})
            log.info("binds.released", operator_id=operator_id, slots=len(kept))
        if kept:
            self._held[operator_id] = kept
        else:
            del self._held[operator_id]

    def _ask(self, statement: str, values: dict[str, Any] | None) -> list[tuple[int]]:
        assert self._session is not None
        with self._session.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
        self._take_more_at = time.monotonic() + RECLAIM_SECONDS

    def close(self) -> None:
        """Give all back."""
        self._held.clear()
        if self._session is not None:
            self._session.close()
            self._session = None
