"""What the calls of webhooks have in common in the OpenAPI document."""

from typing import Any

from gateway.api.shapes import Json, scope


def operation(name: str, summary: str, **more: Any) -> Json:
    """A call of that operationId, and the permission that it needs."""
    return {"tags": ["webhooks"], "operationId": name, "summary": summary} | more | scope("webhooks:manage")
