"""A byte stream cut into PDUs (SMPP 3.4, section 3.1): at whatever octets the network cuts it, in step for
good.
"""

from __future__ import annotations

from typing import Final

from smpp_bind import errors, pdu

MAX_LENGTH: Final = 0x10000 + 0x1000
"""Octets of the longest PDU read: a full message_payload and generous fields around it."""

_HEADER_LENGTH: Final = 16


class Framer:
    """Holds what has come of an unfinished PDU; one a connection."""

    def __init__(self, *, max_length: int = MAX_LENGTH) -> None:
        self._max_length = max_length
        self._chunks: list[bytes] = []
        self._have = 0
        self._need = _HEADER_LENGTH
        self.broken: errors.FramingError | None = None

    @property
    def waiting(self) -> int:
        """Octets of an unfinished PDU."""
        return self._have

    def feed(self, data: bytes) -> list[tuple[pdu.Header, bytes]]:
        """The PDUs that `data` completes, as (header, body).

        Raises FramingError at a command_length below 16 or above the bound. PDUs complete before it are
        returned first; the error then stands in `broken` and is raised by every later call.
        """
        if self.broken is not None:
            raise self.broken
        self._have += len(data)
        if self._chunks:
            # Octets wait in a list until a PDU is whole, or a long one read octet by octet costs its square.
            self._chunks.append(data)
            if self._have < self._need:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
        frames, offset = self._cut(data)
        self._have -= offset
        if self._have:
            self._chunks.append(data[offset:] if offset else data)
        if not _HEADER_LENGTH <= self._need <= self._max_length:
            self.broken = errors.FramingError(f"command_length is {self._need}.")
            if not frames:
                raise self.broken
        return frames

    def _cut(self, data: bytes) -> tuple[list[tuple[pdu.Header, bytes]], int]:
        frames = []
        offset, end = 0, len(data)
        need = _HEADER_LENGTH
        unpack, make, longest = pdu.HEADER.unpack_from, pdu.Header._make, self._max_length
        while end - offset >= _HEADER_LENGTH:
            header = make(unpack(data, offset))
            need = header.length
            if end - offset < need or not _HEADER_LENGTH <= need <= longest:
                break
            frames.append((header, data[offset + _HEADER_LENGTH : offset + need]))
            offset += need
            need = _HEADER_LENGTH
        self._need = need
        return frames, offset
