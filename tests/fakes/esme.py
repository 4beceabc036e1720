"""A client of an SMSC on a plain socket: what a test says goes out, what comes in is read PDU by PDU."""

import socket
from typing import NamedTuple, Self

from smpp_bind import framing, pdu


class Pdu(NamedTuple):
    command: int
    status: int
    sequence: int
    body: bytes

    @property
    def sm(self) -> pdu.ShortMessage:
        return pdu.decode_short_message(self.body)

    @property
    def text(self) -> str:
        return self.sm.message.decode("latin-1")

    @property
    def id(self) -> str:
        return pdu.decode_id(self.body)


class Client:
    """Answers nothing by itself."""

    def __init__(self, port: int, *, timeout: float = 3.0, tls=None) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self._framer = framing.Framer()
        self._read: list[Pdu] = []
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, command: int, body: bytes = b"", *, status: int = 0, sequence: int | None = None) -> int:
        if sequence is None:
            self._sequence += 1
            sequence = self._sequence
        self.sock.sendall(pdu.HEADER.pack(16 + len(body), command, status, sequence) + body)
        return sequence

    def read(self, command: int | None = None) -> Pdu:
        """The next PDU, or the next of `command`; others stay. Raises EOFError, TimeoutError."""
        while True:
            for place, found in enumerate(self._read):
                if command in {None, found.command}:
                    return self._read.pop(place)
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self._read.extend(Pdu(*header[1:], body) for header, body in self._framer.feed(data))

    def rest(self) -> bytes:
        """Octets until the end of the stream, frames or not."""
        data = b""
        while chunk := self.sock.recv(65536):
            data += chunk
        return data

    def ask(self, command: int, body: bytes = b"") -> Pdu:
        """Sends a request and reads its answer."""
        sequence = self.send(command, body)
        answer = self.read(command | pdu.RESP)
        assert answer.sequence == sequence
        return answer

    def bind(
        self, command: int = pdu.BIND_TRANSCEIVER, *, system_id: str = "esme", password: str = "pw"
    ) -> Pdu:
        self._sequence += 1
        bind = pdu.encode_bind(
            command_id=command, sequence=self._sequence, system_id=system_id, password=password
        )
        self.sock.sendall(bind)
        return self.read(command | pdu.RESP)

    def submit(self, **fields: object) -> int:
        """Sends a submit_sm that asks for a receipt; answers its sequence number."""
        return self.send(pdu.SUBMIT_SM, submit_body(**fields))

    def submitted(self, **fields: object) -> Pdu:
        return self.ask(pdu.SUBMIT_SM, submit_body(**fields))

    def receipt(self) -> Pdu:
        """Reads the next deliver_sm and acknowledges it."""
        found = self.read(pdu.DELIVER_SM)
        self.acknowledge(found)
        return found

    def acknowledge(self, delivered: Pdu, *, status: int = 0) -> None:
        self.send(pdu.DELIVER_SM_RESP, b"\0", status=status, sequence=delivered.sequence)

    def hears_nothing(self, seconds: float = 0.15) -> bool:
        self.sock.settimeout(seconds)
        try:
            self.read()
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(3.0)
        return False


def submit_body(**fields: object) -> bytes:
    values = {
        "source": "ACME",
        "source_ton": 5,
        "destination": "33612345678",
        "destination_ton": 1,
        "destination_npi": 1,
        "registered_delivery": 1,
        "message": b"Your code is 123456",
        **fields,
    }
    return pdu.encode_short_message_body(pdu.ShortMessage(**values))
