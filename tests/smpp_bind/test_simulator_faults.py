"""The simulator's faults on request: silence, broken connections, refusal, a client that does not read."""

import contextlib
import socket
import threading
import time

import pytest

from smpp_bind import pdu, simulator
from smpp_bind.simulator import Settings, Span
from tests.fakes.esme import Client


@pytest.fixture
def running():
    with simulator.start_in_thread(Settings(receipt_delay=Span())) as found:
        yield found


@pytest.fixture
def esme(running):
    with Client(running.port) as found:
        found.bind()
        yield found


def test_it_falls_silent_and_comes_back(running, esme):
    running.pause(0.3)
    began = time.monotonic()
    esme.send(pdu.ENQUIRE_LINK)
    esme.submit()
    with Client(running.port) as other:
        other.send(pdu.ENQUIRE_LINK)
        assert other.hears_nothing(0.1)
        assert esme.hears_nothing(0.1)
        assert esme.read().command == pdu.ENQUIRE_LINK_RESP
        assert other.read().command == pdu.ENQUIRE_LINK_RESP
    assert 0.25 < time.monotonic() - began < 1
    assert esme.read().command == pdu.SUBMIT_SM_RESP
    assert esme.receipt()


def test_it_holds_back_answers_and_receipts_that_fall_due_in_silence():
    settings = Settings(latency=Span(0.05, 0.05), receipt_delay=Span(0.02, 0.02))
    with simulator.start_in_thread(settings) as running, Client(running.port) as esme:
        esme.bind()
        esme.submit()
        time.sleep(0.02)
        running.pause(0.3)
        assert esme.hears_nothing(0.2)
        assert esme.read().command == pdu.SUBMIT_SM_RESP
        assert esme.read().command == pdu.DELIVER_SM


def test_it_ends_a_connection_in_the_middle_of_a_pdu(running, esme):
    assert running.close_connections() == 1
    assert len(esme.rest()) == 10
    assert running.stats()["connected"] == 0


def test_it_refuses_connections_for_a_while(running, esme):
    running.refuse(0.3)
    with pytest.raises(ConnectionRefusedError):
        Client(running.port)
    assert esme.ask(pdu.ENQUIRE_LINK).status == 0
    deadline = time.monotonic() + 3
    while True:
        try:
            with Client(running.port) as again:
                assert again.bind().status == 0
                break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_it_asks_clients_to_unbind(running, esme):
    assert running.unbind() == 1
    asked = esme.read(pdu.UNBIND)
    esme.send(pdu.UNBIND_RESP, sequence=asked.sequence)
    with pytest.raises(EOFError):
        esme.read()


def test_it_unbinds_clients_when_it_stops(running, esme):
    stopping = threading.Thread(target=running.stop)
    stopping.start()
    asked = esme.read(pdu.UNBIND)
    esme.send(pdu.UNBIND_RESP, sequence=asked.sequence)
    stopping.join(1)
    assert not stopping.is_alive()


def test_it_stops_though_a_client_does_not_answer_the_unbind(running, esme):
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 3


def test_it_reads_no_more_from_a_client_that_does_not_read_answers(running, esme):
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        esme.sock.setsockopt(socket.SOL_SOCKET, buffer, 8192)
    esme.sock.settimeout(0.3)
    octets = pdu.encode_empty(command_id=pdu.ENQUIRE_LINK, sequence=7) * 4096
    with contextlib.suppress(TimeoutError):
        for _ in range(200):
            esme.sock.sendall(octets)
        pytest.fail("13 MB of requests were taken in without an answer being read")


def test_it_goes_on_after_many_connections_at_once(running):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(running.port)) for _ in range(200)]
        for each in clients:
            each.bind()
        assert running.stats()["bound"] == 200
        for each in clients:
            assert each.submitted().status == 0
