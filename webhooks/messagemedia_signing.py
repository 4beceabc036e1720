"""MessageMedia's signature of webhook calls ("Enterprise Webhooks"), beside the one of Standard Webhooks.

RSA, PKCS #1 v1.5, over the request line, the value of ``Date`` and the body with nothing between them. Receivers
build the digest's name from the header by concatenation, so it is written without a dash.
"""

import binascii
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.db import connection

from gateway import sealing

# Given the request line, the value of Date and the body: header lines, each ended.
Signer = Callable[[bytes, bytes, bytes], bytes]

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA224": hashes.SHA224(),
    "SHA256": hashes.SHA256(),
    "SHA512": hashes.SHA512(),
}
_ENABLED = """
SELECT tenant_id, id::text, digest, private_key FROM webhooks_signaturekey
WHERE tenant_id = ANY(%s) AND enabled
"""


class KeyRow(NamedTuple):
    """A signature key's columns as far as signing goes; ``private_key`` is sealed."""

    id: str
    digest: str
    private_key: bytes


def of_tenants(*, tenant_ids: Collection[int]) -> dict[int, Signer]:
    """The signers of those tenants that have a key enabled, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_ENABLED, [list(tenant_ids)])
        rows = cursor.fetchall()
    return {tenant_id: signer(KeyRow(key, digest, bytes(sealed))) for tenant_id, key, digest, sealed in rows}


@lru_cache(maxsize=1024)
def signer(key: KeyRow) -> Signer:
    """What signs with this key.

    Raises:
        gateway.sealing.SealingError: its private part does not open.
    """
    plain = sealing.open_(key.private_key, context=sealing.CONTEXT_SIGNATURE_KEY)
    private = serialization.load_der_private_key(plain, password=None)
    assert isinstance(private, RSAPrivateKey)
    head = (
        f"X-MessageMedia-Key-Id: {key.id}\r\nX-MessageMedia-Cipher-Type: RSA\r\n"
        f"X-MessageMedia-Digest-Type: {key.digest}\r\nX-MessageMedia-Signature: "
    )
    return partial(_lines, private, _HASHES[key.digest], head.encode())


def _lines(
    private: RSAPrivateKey,
    digest: hashes.HashAlgorithm,
    head: bytes,
    request_line: bytes,
    date: bytes,
    body: bytes,
) -> bytes:
    signature = private.sign(request_line + date + body, padding.PKCS1v15(), digest)
    return head + binascii.b2a_base64(signature, newline=False) + b"\r\n"
