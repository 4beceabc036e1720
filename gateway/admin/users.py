"""The platform's own users and groups, every change of them in the audit trail. A user is deactivated, not deleted:
the trail names its users."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from gateway.admin import audit

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class AuditedUserAdmin(audit.Audited, UserAdmin[User]):
    """Only superusers say what others may do, or touch a superuser."""

    veiled = frozenset({"password", "password1", "password2", "usable_password"})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        rights = () if _is_super(request) else ("is_superuser", "groups", "user_permissions")
        return (*super().get_readonly_fields(request, obj), *rights)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        beyond = obj is not None and obj.is_superuser and not _is_super(request)
        return not beyond and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Group)
class AuditedGroupAdmin(audit.Audited, GroupAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_super(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_super(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_super(request)


def _is_super(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)
