"""Plans of processes that work on queues: relays and workers."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created


def keep_to_indexes() -> None:
    """Let this process's connections read no table from end to end where an index will do.

    A prepared statement keeps its plan. One that was made while a queue was empty would read the whole of it once a
    hundred thousand rows wait, until the next ANALYZE.
    """
    connection_created.connect(_keep, dispatch_uid="config.plans")


def _keep(connection: BaseDatabaseWrapper, **_: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
