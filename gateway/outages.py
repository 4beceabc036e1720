"""Whether the database is away, or has refused what it was asked."""

from typing import Final

from django.db import Error, InterfaceError, OperationalError

# Classes of SQLSTATE (PostgreSQL, appendix A): connection, transaction rollback, resources, locks, operator's
# intervention, system; and a schema that is not, or not yet, what the code wants.
_AWAY: Final = frozenset({"08", "40", "42", "53", "55", "57", "58"})
_READ_ONLY: Final = "25006"


def is_away(error: Error) -> bool:
    """True for what the same statement may be spared later; false for what its values will meet again.

    psycopg calls more an OperationalError than outages: a value that is too long for an index among them.
    """
    state: str | None = getattr(error.__cause__, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError | InterfaceError)
    return state[:2] in _AWAY or state == _READ_ONLY
