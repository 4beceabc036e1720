"""Making a tenant, and giving it another callback secret."""

import base64
import re
import secrets
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils.text import slugify

from gateway import sealing
from gateway.models import Tenant

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


# How long a callback secret signs beside the one that took its place.
OVERLAP = timedelta(hours=24)


class TenantError(ValueError):
    """The tenant cannot be made; the text says why."""


def create(*, name: str, slug: str = "", backlog_limit: int | None = None) -> tuple[Tenant, str]:
    """Make a tenant; returns it and its ``callbackSecret``, which is shown this once.

    The slug is made from the name when none is given.

    Raises:
        TenantError: the name is empty, the slug is malformed or in use.
    """
    short = slug or slugify(name)[:63].strip("-")
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise TenantError("the name must be 1 to 200 printable characters")
    if not SLUG.fullmatch(short):
        raise TenantError(f"{short!r} is no slug: small letters, digits and hyphens, at most 63 (use --slug)")
    secret = _new_secret()
    with transaction.atomic():
        if Tenant.objects.filter(slug=short).exists():
            raise TenantError(f"there is a tenant {short!r} already")
        tenant = Tenant.objects.create(
            slug=short,
            name=name.strip(),
            callback_secret=_sealed(secret),
            backlog_limit=backlog_limit,
        )
    return tenant, secret


def rotate_callback_secret(*, tenant_id: int, secret: str | None = None) -> tuple[Tenant, str]:
    """Give a tenant, or its sandbox, a new ``callbackSecret``: ``secret``, or a fresh one.

    The present one signs beside it for :data:`OVERLAP`; what signed beside that until now does so no more.

    Returns:
        The tenant and the secret in the clear, to be shown this once.
    """
    fresh = secret or _new_secret()
    rows = Tenant.everything.filter(pk=tenant_id)
    with transaction.atomic():
        tenant = rows.select_for_update(no_key=True).get()
        tenant.previous_callback_secret = tenant.callback_secret
        tenant.previous_callback_secret_until = datetime.now(tz=UTC) + OVERLAP
        tenant.callback_secret = _sealed(fresh)
        tenant.save(
            update_fields=[
                "callback_secret", "previous_callback_secret", "previous_callback_secret_until",
            ]
        )  # fmt: skip
    return tenant, fresh


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _sealed(secret: str) -> bytes:
    return sealing.seal(secret.encode(), context=sealing.CONTEXT_TENANT_CALLBACK)


def find(*, name: str) -> Tenant:
    """The tenant of a slug, or of a name that only one has.

    Raises:
        TenantError: there is none, or the name is not unique.
    """
    found = list(Tenant.objects.filter(slug=name)) or list(Tenant.objects.filter(name=name)[:2])
    if not found:
        raise TenantError(f"there is no tenant {name!r}")
    if len(found) > 1:
        raise TenantError(f"several tenants are named {name!r}: give the slug")
    return found[0]
