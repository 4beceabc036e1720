"""Secrets at rest: AES-256-GCM under the installation's keys (``ENCRYPTION_KEYS``).

A sealed value is one version byte, four bytes that name the key, a 12-byte nonce, and the ciphertext with its tag.
The first key seals, every key opens: put a new one in front, re-seal at leisure, drop the old one. ``context`` is
authenticated with the value, so that what was sealed as one kind of secret does not open as another.
"""

import base64
import functools
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models

CONTEXT_KEY_SECRET: Final = b"api_key.secret"
CONTEXT_TENANT_CALLBACK: Final = b"tenant.callback_secret"
CONTEXT_OPERATOR_SECRETS: Final = b"operator.secrets"
CONTEXT_WEBHOOK_SECRET: Final = b"webhook.secret"
CONTEXT_SIGNATURE_KEY: Final = b"signature_key.private_key"

_VERSION = b"\x01"
_NAME = slice(1, 5)
_NONCE = slice(5, 17)
_REST = slice(17, None)
# Rows read at once when values are sealed anew.
_BATCH = 500


class SealingError(Exception):
    """The value does not open: it was altered, sealed for another context, or its key is gone."""


def seal(plain: bytes, *, context: bytes) -> bytes:
    """The sealed form, 33 bytes longer than ``plain``; different each time."""
    name, cipher = next(iter(_ciphers(tuple(settings.ENCRYPTION_KEYS)).items()))
    nonce = os.urandom(12)
    return _VERSION + name + nonce + cipher.encrypt(nonce, plain, context)


def open_(sealed: bytes | memoryview, *, context: bytes) -> bytes:
    """What was sealed.

    Raises:
        SealingError: when it does not open.
    """
    value = bytes(sealed)
    if value[:1] != _VERSION or len(value) < _REST.start:
        raise SealingError("not a sealed value")
    cipher = _ciphers(tuple(settings.ENCRYPTION_KEYS)).get(value[_NAME])
    if cipher is None:
        raise SealingError(f"sealed under key {value[_NAME].hex()}, which is not in ENCRYPTION_KEYS")
    try:
        return cipher.decrypt(value[_NONCE], value[_REST], context)
    except InvalidTag as error:
        raise SealingError("the value was altered or sealed for another purpose") from error


@functools.cache
def _ciphers(keys: tuple[bytes, ...]) -> dict[bytes, AESGCM]:
    """Ciphers by the four bytes that name their key, in the order of the setting."""
    return {_name_of(key): AESGCM(key) for key in keys}


def _name_of(key: bytes) -> bytes:
    return hashlib.sha256(b"name:" + key).digest()[:4]


def names() -> list[str]:
    """The names of the installation's keys, eight hex digits each, in the order of the setting."""
    return [name.hex() for name in _ciphers(tuple(settings.ENCRYPTION_KEYS))]


def fresh_key() -> tuple[str, str]:
    """A new key as ``ENCRYPTION_KEYS`` takes it, and its name."""
    key = os.urandom(32)
    return base64.b64encode(key).decode(), _name_of(key).hex()


class Column(NamedTuple):
    """Where sealed values are kept. Nulls are no values."""

    model: type[models.Model]
    column: str
    context: bytes

    def __str__(self) -> str:
        return f"{self.model._meta.db_table}.{self.column}"


_columns: dict[str, Column] = {}


def register(*, model: type[models.Model], column: str, context: bytes) -> None:
    """Say, when an app is ready, that a column of its keeps sealed values; again does nothing."""
    kept = Column(model, column, context)
    _columns[str(kept)] = kept


def columns() -> list[Column]:
    """Every column registered, by its name."""
    return [_columns[name] for name in sorted(_columns)]


class Resealed(NamedTuple):
    """Values sealed anew; those that do not open and stay as they are; values by the name of their key afterwards."""

    resealed: int
    unreadable: int
    by_key: Counter[str]


def reseal(column: Column) -> Resealed:
    """Seal every value of a column anew that is not under the first key.

    Safe while the system runs, and to run again: a value that changes meanwhile stays as it was changed.
    """
    resealed = unreadable = 0
    first = bytes.fromhex(names()[0])
    for pk, value in _values(column):
        if value[_NAME] != first:
            try:
                resealed += _reseal_one(column, pk, value)
            except SealingError:
                unreadable += 1
    # Counted afterwards: what was written meanwhile may be under an older key again.
    return Resealed(resealed, unreadable, Counter(value[_NAME].hex() for _, value in _values(column)))


def _reseal_one(column: Column, pk: Any, value: bytes) -> int:
    anew = seal(open_(value, context=column.context), context=column.context)
    same = column.model._base_manager.filter(pk=pk, **{column.column: value})
    return same.update(**{column.column: anew})


def _values(column: Column) -> Iterator[tuple[Any, bytes]]:
    """Key and value of each row, in batches by key."""
    rows = column.model._base_manager.exclude(**{column.column: None}).order_by("pk")
    batch = list(rows.values_list("pk", column.column)[:_BATCH])
    while batch:
        for pk, value in batch:
            yield pk, bytes(value)
        batch = list(rows.filter(pk__gt=batch[-1][0]).values_list("pk", column.column)[:_BATCH])
