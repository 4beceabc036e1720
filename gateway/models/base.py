"""What tenant-owned rows share."""

from typing import Self

from django.db import models


class TenantQuerySet(models.QuerySet[models.Model]):
    """Rows that belong to tenants are reached through :meth:`for_tenant`, never bare."""

    def for_tenant(self, tenant_id: int) -> Self:
        return self.filter(tenant_id=tenant_id)
