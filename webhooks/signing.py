"""Standard Webhooks 1.0.0 signatures (github.com/standard-webhooks/standard-webhooks, spec). Pure.

The library of that name is not used to sign: given an aware time outside UTC it signs another moment.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence

_PREFIX = "whsec_"
# What the specification allows, in bytes.
_SHORTEST, _LONGEST = 24, 64


def new_secret() -> str:
    """A fresh secret: ``whsec_`` and 32 random bytes in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key(secret: str) -> bytes:
    """The bytes that a ``whsec_`` secret stands for.

    Raises:
        ValueError: when it is not base64 of 24 to 64 bytes.
    """
    material = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    if not _SHORTEST <= len(material) <= _LONGEST:
        raise ValueError(f"A secret is {_SHORTEST} to {_LONGEST} bytes in base64.")
    return material


def sign(*, keys: Sequence[bytes], message_id: bytes, timestamp: int, body: bytes) -> bytes:
    """The value of ``webhook-signature``: one ``v1,<base64>`` a key, newest first, separated by blanks.

    ``timestamp`` is Unix time in whole seconds; ``body`` the bytes that will be sent.
    """
    signed = b"%b.%d.%b" % (message_id, timestamp, body)
    if len(keys) == 1:
        return b"v1," + binascii.b2a_base64(hmac.digest(keys[0], signed, "sha256"), newline=False)
    return b" ".join(
        b"v1," + binascii.b2a_base64(hmac.digest(each, signed, "sha256"), newline=False) for each in keys
    )
