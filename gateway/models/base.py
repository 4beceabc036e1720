"""What tenant-owned rows share."""

from typing import Self, TypeVar

from django.db import models

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)


class TenantQuerySet(models.QuerySet[Row_co, Row_co]):
    """Rows that belong to tenants are reached through :meth:`for_tenant`, never bare."""

    def for_tenant(self, tenant_id: int) -> Self:
        return self.filter(tenant_id=tenant_id)
