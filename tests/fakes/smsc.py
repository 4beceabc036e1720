"""A scripted SMSC on loopback: real sockets, one thread a connection, and every bad habit on request."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from smpp_bind import errors, framing, pdu

BINDS = (pdu.BIND_TRANSCEIVER, pdu.BIND_TRANSMITTER, pdu.BIND_RECEIVER)


class Client:
    """One connection as the SMSC sees it."""

    def __init__(self, smsc: "Smsc", sock: socket.socket) -> None:
        self.smsc = smsc
        self.sock = sock
        self.bind: pdu.Bind | None = None
        self.kind = 0
        self._lock = threading.Lock()

    def send(self, data: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self.smsc.dribble:
                for octet in data:
                    self.sock.sendall(bytes((octet,)))
            else:
                self.sock.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Smsc:
    """Answers everything well unless told otherwise.

    `bind_status` refuses binds; `answer_binds` and `answer_submits` False stay silent; `statuses` yields the
    command_status of each submit; `cut_after` submits it sends half an answer and closes; `dribble` writes octet
    by octet; `answer_enquire_link` False plays dead. `on_submit` replaces the answering altogether.
    """

    def __init__(self, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.bind_status = 0
        self.answer_binds = True
        self.answer_submits = True
        self.answer_enquire_link = True
        self.answer_unbinds = True
        self.statuses: Iterator[int] = iter(())
        self.cut_after = 0
        self.dribble = False
        self.on_submit: Callable[[Client, pdu.Header, pdu.ShortMessage], None] | None = None
        self.submits: list[pdu.ShortMessage] = []
        self.submit_times: list[float] = []
        self.received: list[tuple[pdu.Header, bytes]] = []
        self.clients: list[Client] = []
        self.binds_seen: list[float] = []
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open = True
        self._changed = threading.Condition()
        self._spawn(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.close_clients()
        for thread in self._threads:
            thread.join(5)

    def close_clients(self) -> None:
        for client in list(self.clients):
            client.close()

    def wait(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Until `condition`, checked after each PDU and now and then; AssertionError when it never comes."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition():
                assert time.monotonic() < deadline, "waited in vain"
                self._changed.wait(0.01)

    def commands(self) -> list[int]:
        return [header.command_id for header, _ in self.received]

    def deliver(self, sm: pdu.ShortMessage, *, sequence: int = 1, client: int = -1) -> None:
        data = pdu.encode_short_message(command_id=pdu.DELIVER_SM, sequence=sequence, sm=sm)
        self.clients[client].send(data)

    def request(self, command_id: int, *, sequence: int = 1, client: int = -1) -> None:
        self.clients[client].send(pdu.encode_empty(command_id=command_id, sequence=sequence))

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while self._open:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        client = Client(self, sock)
        self.clients.append(client)
        if not self._open:  # a handshake that ended behind the peer's back
            client.close()
        framer = framing.Framer()
        with contextlib.suppress(OSError, errors.FramingError):
            while data := sock.recv(65536):
                for header, body in framer.feed(data):
                    self._take(client, header, body)
        client.close()

    def _take(self, client: Client, header: pdu.Header, body: bytes) -> None:
        with self._changed:
            self.received.append((header, body))
            self._changed.notify_all()
        command = header.command_id
        if command in BINDS:
            self._take_bind(client, header, body)
        elif command == pdu.SUBMIT_SM:
            self._take_submit(client, header, pdu.decode_short_message(body))
        elif command == pdu.ENQUIRE_LINK and self.answer_enquire_link:
            client.send(pdu.encode_empty(command_id=pdu.ENQUIRE_LINK_RESP, sequence=header.sequence))
        elif command == pdu.UNBIND and self.answer_unbinds:
            client.send(pdu.encode_empty(command_id=pdu.UNBIND_RESP, sequence=header.sequence))

    def _take_bind(self, client: Client, header: pdu.Header, body: bytes) -> None:
        self.binds_seen.append(time.monotonic())
        client.bind, client.kind = pdu.decode_bind(body), header.command_id
        if self.answer_binds:
            answer = pdu.encode_bind_resp(
                command_id=header.command_id | pdu.RESP,
                sequence=header.sequence,
                status=self.bind_status,
                system_id="fake",
            )
            client.send(answer)

    def _take_submit(self, client: Client, header: pdu.Header, sm: pdu.ShortMessage) -> None:
        with self._changed:
            self.submits.append(sm)
            self.submit_times.append(time.monotonic())
            number = len(self.submits)
            self._changed.notify_all()
        if self.on_submit is not None:
            self.on_submit(client, header, sm)
            return
        status = next(self.statuses, 0)
        message_id = None if status else f"id-{number}"
        answer = pdu.encode_id_resp(
            command_id=pdu.SUBMIT_SM_RESP, sequence=header.sequence, status=status, message_id=message_id
        )
        if self.cut_after and number >= self.cut_after:
            self.cut_after = 0
            client.send(answer[:-3])
            client.close()
        elif self.answer_submits:
            client.send(answer)
