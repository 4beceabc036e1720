"""Lists of tables that are large: read only, newest first, never counted, and given up when they take too long."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.paginator import Paginator
from django.db import DataError, OperationalError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from gateway import errors, ids, numbers
from gateway.models import Tenant
from gateway.models.tenant import sandbox_of

# Milliseconds that the database may work for a page.
PATIENCE = 5000
# Pages that can be turned to: what is further back is found by date.
_DEEPEST = 100
# How far back a list goes that is filtered, but not by day.
_LATELY = timedelta(hours=24)
# Tenants that a filter offers.
_OFFERED = 100


class ReadOnly(admin.ModelAdmin[Any]):
    """Rows that nobody adds, changes or deletes here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class _Pages(ChangeList):
    """One row more than a page is read, to know whether there is another; nothing is counted."""

    newer = older = ""
    # Whether only the last day was looked at, since what was asked for has no index.
    narrowed = False

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, *args, **kwargs)
        asked = set(self.filter_params) - {TenantFilter.parameter_name}
        by_day = DayFilter in self.model_admin.list_filter
        self.narrowed = by_day and bool(asked) and not self.query and DayFilter.parameter_name not in asked
        return rows.filter(id__gte=ids.floor(datetime.now(tz=UTC) - _LATELY)) if self.narrowed else rows

    def get_results(self, request: HttpRequest) -> None:
        self.page_num = max(1, min(self.page_num, _DEEPEST))
        first = (self.page_num - 1) * self.list_per_page
        rows = list(self.queryset[first : first + self.list_per_page + 1])
        self.result_list: Any = rows[: self.list_per_page]
        self.result_count = first + len(rows)
        self.paginator = Paginator(range(self.result_count), self.list_per_page)
        # Django's search form says a number of results unless it is that of all rows.
        self.full_result_count = self.result_count
        self.can_show_all = False
        self.show_admin_actions = True
        self.multi_page = self.page_num > 1 or len(rows) > self.list_per_page
        if self.page_num > 1:
            self.newer = self.get_query_string({PAGE_VAR: self.page_num - 1})
        if len(rows) > self.list_per_page and self.page_num < _DEEPEST:
            self.older = self.get_query_string({PAGE_VAR: self.page_num + 1})
        name_tenants(self.result_list)


class Endless(admin.ModelAdmin[Any]):
    """A list without a count; one that the database cannot give in :data:`PATIENCE` says how to narrow it."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    # By their key, which has an index.
    sortable_by = ()
    change_list_template = "admin/gateway/endless_list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _Pages

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {PATIENCE}")
                return super().changelist_view(request, extra_context)
        except OperationalError as error:
            if "statement timeout" not in str(error) or not request.GET:
                raise
            why = "That would have taken too long: choose a tenant, a day or an exact number as well."
        except DataError:
            why = "There can be nothing of that kind."
        self.message_user(request, why, messages.WARNING)
        return HttpResponseRedirect(request.path)


class TenantFilter(admin.SimpleListFilter):
    """By tenant or sandbox; any of them by its id in the address, the first hundred to choose from."""

    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        offered = [(str(tenant.pk), str(tenant)) for tenant in Tenant.objects.order_by("name")[:_OFFERED]]
        chosen = self.value()
        if chosen and chosen not in dict(offered):
            offered += [(str(t.pk), str(t)) for t in Tenant.everything.filter(pk=_number(chosen))]
        return [line for pair in offered for line in (pair, *_twin(pair, chosen))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        chosen = self.value()
        return queryset.filter(tenant_id=_number(chosen)) if chosen else None


def _twin(pair: tuple[str, str], chosen: str | None) -> list[tuple[str, str]]:
    """The sandbox of a tenant, offered beside the one that is chosen."""
    number = _number(pair[0])
    if number <= 0 or chosen != pair[0]:
        return []
    return [(str(sandbox_of(number)), f"{pair[1]} (sandbox)")]


def _number(value: str) -> int:
    """A tenant's id; 0, which is nobody's, for what is none."""
    try:
        number = int(value)
    except ValueError:
        return 0
    return number if abs(number) < 2**63 else 0


class TenantSelect(AutocompleteSelect):
    """Shows a refused form again whatever was sent for its tenant."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        return super().optgroups(name, [one for one in value if _number(str(one))], attrs)


class ChoosesTenant(admin.ModelAdmin[Any]):
    """A form on which a tenant is looked for by name."""

    autocomplete_fields = ("tenant",)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "tenant":
            kwargs["widget"] = TenantSelect(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class DayFilter(admin.SimpleListFilter):
    """By the day that is in a row's key, which is what its table is partitioned by."""

    title = "day (UTC)"
    parameter_name = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        today = datetime.now(tz=UTC).date()
        days = [(today - timedelta(days=ago)).isoformat() for ago in range(31)]
        return [(day, {0: "Today", 1: "Yesterday"}.get(ago, day)) for ago, day in enumerate(days)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if not (chosen := self.value()):
            return None
        try:
            day = datetime.fromisoformat(chosen).replace(tzinfo=UTC)
            first, after = ids.floor(day), ids.floor(day + timedelta(days=1))
        except (ValueError, OverflowError):
            return queryset.none()
        return queryset.filter(id__gte=first, id__lt=after)


def key(term: str) -> UUID | None:
    """What was searched for as a row's key, if it is one."""
    try:
        return UUID(term.strip())
    except ValueError:
        return None


def phone(term: str) -> str | None:
    """What was searched for as a number in E.164, if it is one; the plus may be left out."""
    digits = term.strip()
    try:
        return numbers.normalise(digits if digits.startswith("+") else f"+{digits}")
    except errors.InvalidRecipient:
        return None


def everyone() -> list[int]:
    """The ids of all tenants and sandboxes: an index that begins with the tenant serves a search over all."""
    return list(Tenant.everything.values_list("pk", flat=True))


def name_tenants(rows: Iterable[Any]) -> None:
    """Give rows that have a bare ``tenant_id`` the name of their tenant, by one query."""
    owned = [row for row in rows if hasattr(row, "tenant_id")]
    names = Tenant.everything.in_bulk({row.tenant_id for row in owned}) if owned else {}
    for row in owned:
        row.tenant_name = str(names.get(row.tenant_id, row.tenant_id or "—"))


class OfTenant(admin.ModelAdmin[Any]):
    """Shows whose a row with a bare ``tenant_id`` is, as ``tenant_name``."""

    @admin.display(description="Tenant")
    def tenant_name(self, row: Any) -> str:
        if not hasattr(row, "tenant_name"):
            name_tenants([row])
        return str(row.tenant_name)
