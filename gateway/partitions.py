"""Tables partitioned by the day of their UUIDv7 key: made ahead, dropped whole when their day has passed.

A default partition catches a key of a day that has no partition, so that an insert never fails for want of one.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

from gateway import ids

# Days that have a partition before they begin.
AHEAD = 7


class CreatePartitionedModel(migrations.CreateModel):
    """``CreateModel`` for a table ``PARTITION BY RANGE (id)``, with a default partition."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = f"{plain} PARTITION BY RANGE (id)"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = plain
        table = to_state.apps.get_model(app_label, self.name)._meta.db_table
        schema_editor.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")


def make(*, table: str, days: Iterable[date], fillfactor: int = 100) -> list[str]:
    """Make the partitions of those days that are missing; returns their names.

    ``fillfactor`` below 100 leaves room on each page for updates of its rows to stay there (HOT).
    """
    made = []
    with connection.cursor() as cursor:
        for day in days:
            name = f"{table}_{day:%Y%m%d}"
            cursor.execute("SELECT to_regclass(%s) IS NULL", [name])
            if not cursor.fetchone()[0]:
                continue
            start, end = _bounds(day)
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} FOR VALUES FROM ('{start}') TO ('{end}')"
                f" WITH (fillfactor = {fillfactor}, autovacuum_vacuum_insert_scale_factor = 1.0)"
            )
            made.append(name)
    return made


def drop(*, table: str, before: date) -> list[str]:
    """Drop the partitions of the days before ``before``; returns their names."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass AND c.relname < %s AND c.relname ~ '_[0-9]{8}$'",
            [table, f"{table}_{before:%Y%m%d}"],
        )
        names = [name for (name,) in cursor.fetchall()]
        for name in names:
            cursor.execute(f"DROP TABLE {name}")
    return names


def days_ahead(now: datetime) -> list[date]:
    """Yesterday, for clocks that disagree at midnight, to a week from now."""
    return [now.date() + timedelta(days=offset) for offset in range(-1, AHEAD + 1)]


def make_ahead(*, table: str, fillfactor: int = 100) -> Any:
    """A migration's function that makes the first partitions."""

    def forwards(apps: Any, schema_editor: Any) -> None:
        make(table=table, days=days_ahead(datetime.now(tz=UTC)), fillfactor=fillfactor)

    return migrations.RunPython(forwards, migrations.RunPython.noop)


def _bounds(day: date) -> tuple[str, str]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return str(ids.floor(start)), str(ids.floor(start + timedelta(days=1)))
