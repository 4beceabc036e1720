from typing import Any
from uuid import UUID


def timeline(tenant_id: int, message_id: UUID) -> list[dict[str, Any]]:
    return []
