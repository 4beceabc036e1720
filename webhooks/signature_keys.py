"""A tenant's RSA keys, at most one of them enabled: MessageMedia's signature keys.

While one is enabled it signs every call of the tenant's webhooks (:mod:`webhooks.messagemedia_signing`).
"""

import base64
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.db import transaction
from django.db.models import QuerySet

from gateway import errors, sealing
from gateway.errors import Detail
from gateway.models import Tenant
from webhooks.models import SignatureKey

CIPHERS = ("RSA",)
DIGESTS = tuple(SignatureKey.Digest.values)
MOST_KEYS = 20
_BITS = 2048


class TooManyKeys(errors.Conflict):
    code = "SIGNATURE_KEYS_FULL"
    message = f"There are {MOST_KEYS} signature keys already."
    action = "Delete those that no receiver needs any more."


def create(*, tenant_id: int, members: Mapping[str, Any]) -> SignatureKey:
    """A new key, not enabled yet, from ``{"cipher": "RSA", "digest": "SHA224" | "SHA256" | "SHA512"}``.

    Raises:
        errors.Invalid: a member is missing or wrong.
        TooManyKeys: the tenant has as many as it may have.
    """
    choices = {"cipher": CIPHERS, "digest": DIGESTS}
    wrong = [
        _wrong(name, members.get(name)) for name, known in choices.items() if members.get(name) not in known
    ]
    if wrong:
        raise errors.Invalid("Bad Request", details=wrong)
    _refuse_more(tenant_id)
    private = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with transaction.atomic():
        _lock(tenant_id)
        _refuse_more(tenant_id)
        return SignatureKey.objects.create(
            tenant_id=tenant_id,
            digest=members["digest"],
            public_key=base64.b64encode(public).decode(),
            private_key=sealing.seal(plain, context=sealing.CONTEXT_SIGNATURE_KEY),
        )


def listed(*, tenant_id: int) -> QuerySet[SignatureKey, SignatureKey]:
    """The tenant's keys, oldest first."""
    return SignatureKey.objects.for_tenant(tenant_id).order_by("id")


def find(*, tenant_id: int, key_id: Any) -> SignatureKey:
    """One of the tenant's keys.

    Raises:
        errors.Invalid: that is no id.
        errors.NotFound: the tenant has no such key.
    """
    try:
        key = UUID(key_id)
    except (ValueError, TypeError, AttributeError):
        message = "key_id property value is invalid"
        raise errors.Invalid(message, details=[Detail("key_id", "INVALID", message)]) from None
    found = listed(tenant_id=tenant_id).filter(pk=key).first()
    if found is None:
        raise errors.NotFound("Entity not found")
    return found


def enabled(*, tenant_id: int) -> SignatureKey:
    """The key that signs now.

    Raises:
        errors.NotFound: none does.
    """
    found = listed(tenant_id=tenant_id).filter(enabled=True).first()
    if found is None:
        raise errors.NotFound("Currently no key is enabled")
    return found


def enable(*, tenant_id: int, key_id: Any) -> SignatureKey:
    """Let this key sign from now on, and no other; raises as :func:`find`."""
    if key_id is None:
        message = "/key_id: Key id cannot be null"
        raise errors.Invalid(message, details=[Detail("key_id", "REQUIRED", message)])
    with transaction.atomic():
        _lock(tenant_id)
        key = find(tenant_id=tenant_id, key_id=key_id)
        disable(tenant_id=tenant_id)
        key.enabled = True
        key.save(update_fields=["enabled"])
    return key


def remove(*, tenant_id: int, key_id: Any) -> None:
    """Remove a key, an enabled one too: then none signs; raises as :func:`find`."""
    with transaction.atomic():
        _lock(tenant_id)
        find(tenant_id=tenant_id, key_id=key_id).delete()


def disable(*, tenant_id: int) -> None:
    """Let no key sign."""
    listed(tenant_id=tenant_id).filter(enabled=True).update(enabled=False)


def _lock(tenant_id: int) -> None:
    """One change at a time: neither two enabled keys nor one too many."""
    Tenant.everything.select_for_update(no_key=True).get(pk=tenant_id)


def _refuse_more(tenant_id: int) -> None:
    """Asked before a key is made, which takes a tenth of a second, and again under the lock."""
    if listed(tenant_id=tenant_id).count() >= MOST_KEYS:
        raise TooManyKeys


def _wrong(name: str, value: Any) -> Detail:
    if value is None:
        return Detail(name, "REQUIRED", f"/{name}: {name} cannot be null")
    return Detail(name, "INVALID", f"/{name}: [{str(value)[:50]}] is invalid")
