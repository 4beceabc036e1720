"""Recipients of a sandbox that stand for an outcome; to real tenants they are numbers like any other.

What is refused at acceptance is here; what an operator makes of the others, its transport knows.
"""

from gateway import errors
from gateway.errors import Detail, Problem
from gateway.models.tenant import is_sandbox

INVALID = "+15005550001"
NO_ROUTE = "+15005550002"
OPTED_OUT = "+15005550004"


def refusal(*, tenant_id: int, recipient: str) -> Problem | None:
    """Why a sandbox refuses the recipient; None when it does not, or when the tenant is a real one."""
    if not is_sandbox(tenant_id):
        return None
    if recipient == INVALID:
        detail = Detail("to", errors.InvalidRecipient.code, errors.InvalidRecipient.message)
        return errors.InvalidRecipient(details=[detail])
    if recipient == NO_ROUTE:
        return errors.NoRoute()
    return errors.RecipientOptedOut() if recipient == OPTED_OUT else None
