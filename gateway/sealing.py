"""Secrets at rest: AES-256-GCM under the installation's keys (``ENCRYPTION_KEYS``).

A sealed value is one version byte, four bytes that name the key, a 12-byte nonce, and the ciphertext with its tag.
The first key seals, every key opens: put a new one in front, re-seal at leisure, drop the old one. ``context`` is
authenticated with the value, so that what was sealed as one kind of secret does not open as another.
"""

import functools
import hashlib
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

CONTEXT_KEY_SECRET: Final = b"api_key.secret"
CONTEXT_TENANT_CALLBACK: Final = b"tenant.callback_secret"
CONTEXT_OPERATOR_SECRETS: Final = b"operator.secrets"
CONTEXT_WEBHOOK_SECRET: Final = b"webhook.secret"

_VERSION = b"\x01"
_NAME = slice(1, 5)
_NONCE = slice(5, 17)
_REST = slice(17, None)


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
    return {hashlib.sha256(b"name:" + key).digest()[:4]: AESGCM(key) for key in keys}
