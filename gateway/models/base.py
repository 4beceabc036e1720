"""What tenant-owned rows share."""

from typing import Self, TypeVar

from django.db import models

Row = TypeVar("Row", bound=models.Model, covariant=True)


class TenantQuerySet(models.QuerySet[Row, Row]):
    """Rows that belong to tenants are reached through :meth:`for_tenant`, never bare."""

    def for_tenant(self, tenant_id: int) -> Self:
        return self.filter(tenant_id=tenant_id)
