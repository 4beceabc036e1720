"""HTTP/1.1 responses, RFC 9112, as far as a client of callbacks needs them. Pure: bytes in, a response out.

Everything an endpoint sends is bounded: its header, interim answers before it included, by :data:`MAX_HEAD`; what
is read of its body by :data:`MAX_BODY`, or twice that on the wire where chunks are tiny; what is kept of it by
:data:`KEPT_BODY`. A longer body ends the answer and the connection, not the attempt. Content codings are not undone:
a body that unpacks to gigabytes is the few bytes that came.
"""

from dataclasses import dataclass

from webhooks.errors import ProtocolFailed

MAX_HEAD = 32 * 1024
MAX_BODY = 64 * 1024
KEPT_BODY = 16 * 1024
_CHUNK_LINE = 1024
_NO_BODY = frozenset({204, 304})


@dataclass(slots=True)
class Response:
    """A whole answer. ``body`` is cut at :data:`KEPT_BODY`; ``length`` is what was read of it, in bytes.

    ``reusable``: the connection may be used again.
    """

    status: int
    body: bytes
    retry_after: str | None
    reusable: bool
    length: int = 0


class ResponseReader:
    """Reads one answer from what :meth:`feed` is given; used once for each request."""

    __slots__ = (
        "_buffer",
        "_chunked",
        "_close",
        "_interim",
        "_kept",
        "_left",
        "_read",
        "_retry_after",
        "_wire",
        "status",
    )

    status: int | None

    def __init__(self) -> None:
        self._buffer = b""
        self._chunked = False
        self._close = False
        # Bytes of interim answers so far, and of a chunked body with all that is around its chunks.
        self._interim = 0
        self._wire = 0
        # Bytes of the body still to come; None: until the connection closes.
        self._left: int | None = None
        self._kept: list[bytes] = []
        self._read = 0
        self._retry_after: str | None = None
        # The status, as soon as the header is whole: an attempt that times out later still records it.
        self.status = None

    def feed(self, data: bytes) -> Response | None:
        """Take more bytes.

        Returns:
            The answer once it is whole, or once its body is longer than anyone wants to know.

        Raises:
            ProtocolFailed: the bytes are not an answer that HTTP/1.1 allows.
        """
        if self.status is None:
            found = self._feed_head(self._buffer + data if self._buffer else data)
            if found is None:
                return None
            data = found
        if self._chunked:
            return self._feed_chunks(data)
        return self._feed_plain(data)

    def _feed_head(self, buffer: bytes) -> bytes | None:
        """What follows the header; None while it, or the real one after interim answers, is not whole."""
        at = 0
        while (end := buffer.find(b"\r\n\r\n", at)) >= 0:
            if self._head(buffer[at : end + 2]):
                self._buffer = b""
                return buffer[end + 4 :]
            self._interim += end + 4 - at
            if self._interim > MAX_HEAD:
                raise ProtocolFailed("the answer does not begin")
            at = end + 4
        self._await_head(buffer[at:])
        return None

    def eof(self) -> Response:
        """The peer closed the connection.

        Raises:
            ProtocolFailed: in the middle of an answer.
        """
        if self.status is None or self._chunked or self._left is not None:
            raise ProtocolFailed("the connection was closed before the answer was whole")
        return self._done(reusable=False)

    @property
    def started(self) -> bool:
        """Whether any byte of the answer has come."""
        return self.status is not None or bool(self._buffer)

    def _await_head(self, buffer: bytes) -> None:
        if len(buffer) > MAX_HEAD:
            raise ProtocolFailed("the answer's header is too long")
        if not buffer.startswith(b"HTTP/1."[: len(buffer)]):
            raise ProtocolFailed("the answer is not HTTP/1.1")
        self._buffer = buffer

    def _head(self, head: bytes) -> bool:
        """Read a header, ``head`` ending in one CRLF; False for an interim answer, the real one follows."""
        if len(head) > MAX_HEAD:
            raise ProtocolFailed("the answer's header is too long")
        code = head[9:12]
        if (
            not head.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))
            or not code.isdigit()
            or head[12:13] not in b" \r"
        ):
            raise ProtocolFailed("the answer has no status line")
        status = int(code)
        if status < 200:
            if status == 101:
                raise ProtocolFailed("the answer switches protocols")
            return False
        self._fields(head)
        if status in _NO_BODY:
            self._left, self._chunked = 0, False
        self.status = status
        return True

    def _fields(self, head: bytes) -> None:
        """Set what the header says of the body's end and of the connection."""
        lower = head.lower()
        self._close = head[7:8] == b"0" and b"\r\nconnection: keep-alive" not in lower
        if b"\r\nconnection:" in lower and b"close" in _values(lower, b"connection"):
            self._close = True
        if b"\r\nretry-after:" in lower:
            self._retry_after = _values(head, b"retry-after").decode("latin-1")
        self._chunked = b"\r\ntransfer-encoding:" in lower
        if self._chunked:
            if _values(lower, b"transfer-encoding") != b"chunked":
                raise ProtocolFailed("the answer's transfer coding is unknown")
            if b"\r\ncontent-length:" in lower:
                self._close = True  # RFC 9112 §6.3: chunked wins, the connection is suspect
        elif b"\r\ncontent-length:" in lower:
            self._left = _length(_values(lower, b"content-length"))

    def _feed_plain(self, data: bytes) -> Response | None:
        left = self._left
        if left is None:
            self._keep(data)
            return self._done(reusable=False) if self._read > MAX_BODY else None
        if len(data) >= left:
            self._keep(data[:left])
            # Bytes after the end belong to no request: do not trust the connection with another.
            return self._done(reusable=len(data) == left)
        self._keep(data)
        self._left = left - len(data)
        return self._done(reusable=False) if self._read > MAX_BODY else None

    def _feed_chunks(self, data: bytes) -> Response | None:
        buffer, at = self._buffer + data if self._buffer else data, 0
        self._wire += len(data)
        while self._read <= MAX_BODY:
            end = buffer.find(b"\r\n", at, at + _CHUNK_LINE)
            if end < 0:
                if len(buffer) - at >= _CHUNK_LINE:
                    raise ProtocolFailed("a chunk has no length")
                break
            size = _chunk_size(buffer[at:end])
            if size == 0:
                return self._trailer(buffer[at:], end - at)
            begin, stop = end + 2, end + 2 + size
            if len(buffer) < stop + 2:
                # A chunk in the making counts at once: a dripped huge one must not fill memory.
                if self._read + len(buffer) - begin > MAX_BODY:
                    self._keep(buffer[begin:stop])
                    return self._done(reusable=False)
                break
            if buffer[stop : stop + 2] != b"\r\n":
                raise ProtocolFailed("a chunk is not as long as it says")
            self._keep(buffer[begin:stop])
            at = stop + 2
        if self._read > MAX_BODY or self._wire > 2 * MAX_BODY:
            return self._done(reusable=False)
        self._buffer = buffer[at:]
        return None

    def _trailer(self, buffer: bytes, end: int) -> Response | None:
        """After the last chunk come trailer fields, none of interest, and an empty line."""
        stop = buffer.find(b"\r\n\r\n", end)
        if stop < 0:
            if len(buffer) > MAX_HEAD:
                raise ProtocolFailed("the answer's trailer is too long")
            self._buffer = buffer
            return None
        return self._done(reusable=stop + 4 == len(buffer))

    def _keep(self, data: bytes) -> None:
        if data and self._read < KEPT_BODY:
            self._kept.append(data[: KEPT_BODY - self._read])
        self._read += len(data)

    def _done(self, *, reusable: bool) -> Response:
        assert self.status is not None
        body = b"".join(self._kept)
        return Response(self.status, body, self._retry_after, reusable and not self._close, self._read)


def _values(head: bytes, name: bytes) -> bytes:
    """The field's values, joined by commas when it comes more than once; ``name`` in lower case."""
    found = [
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")[1:]
        if line[: len(name) + 1].lower() == name + b":"
    ]
    return b",".join(found)


def _length(value: bytes) -> int:
    """Content-Length; the same number repeated is one number (RFC 9110 §8.6)."""
    numbers = {number.strip() for number in value.split(b",")}
    number = numbers.pop()
    if numbers or not number.isdigit() or len(number) > 18:
        raise ProtocolFailed("the answer has no clear length")
    return int(number)


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
        raise ProtocolFailed("a chunk has no length")
    return int(digits, 16)
