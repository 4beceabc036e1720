"""The simulator as a process: its options, its lines, its orders, its end."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from smpp_bind import pdu
from smpp_bind.simulator.faults import CONDITIONS, KINDS
from smpp_bind.simulator.menus import MO_FORMAT, RECEIPT_STYLE, RECEIPTS
from tests.fakes.esme import Client

MODULE = [sys.executable, "-m", "smpp_bind.simulator"]
COMMAND = [sys.executable, "manage.py", "simulate_smsc"]
ENVIRONMENT = {
    "SECRET_KEY": "for-this-test-only",
    "ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
}


class Process:
    def __init__(self, command, *options):
        self.popen = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**ENVIRONMENT, **os.environ},
        )

    def line(self):
        return self.popen.stdout.readline().strip()

    def port(self):
        return int(re.search(r"listening on 127\.0\.0\.1:(\d+)", self.line())[1])

    def order(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()
        return json.loads(self.line())

    def end(self, number=signal.SIGTERM):
        self.popen.send_signal(number)
        return self.popen.wait(5)


@pytest.fixture
def start():
    with contextlib.ExitStack() as stack:

        def run(command, *options):
            process = Process(command, *options)
            stack.enter_context(process.popen)
            stack.callback(process.popen.kill)
            return process

        yield run


@pytest.mark.parametrize(
    ("command", "number"), [(MODULE, signal.SIGINT), (MODULE, signal.SIGTERM), (COMMAND, signal.SIGINT)]
)
def test_it_says_where_it_listens_and_ends_cleanly(start, command, number):
    process = start(command, "--port", "0")
    with Client(process.port()) as esme:
        assert esme.bind().status == 0
        process.popen.send_signal(number)
        esme.send(pdu.UNBIND_RESP, sequence=esme.read(pdu.UNBIND).sequence)
        assert process.popen.wait(5) == 0
    assert process.popen.stderr.read() == ""


def test_it_takes_orders_on_standard_input(start):
    process = start(MODULE)
    with Client(process.port()) as esme:
        esme.bind()
        assert process.order("mo 33600000001 38080 Hello there") == {"ok": True, "parts": 1}
        assert esme.receipt().text == "Hello there"
        assert process.order("stats")["bound"] == 1
        assert process.order("pause soon") == {
            "ok": False,
            "error": "pause: give a number of seconds, not 'soon'.",
        }
        assert "Unknown order 'dance'" in process.order("dance")["error"]
        assert process.order("close") == {"ok": True, "connections": 1}
        assert len(esme.rest()) == 10


def test_it_goes_on_without_standard_input(start):
    process = start(MODULE)
    port = process.port()
    process.popen.stdin.close()
    with Client(port) as esme:
        assert esme.bind().status == 0


def test_it_takes_orders_on_a_port(start):
    process = start(MODULE, "--control-port", "0", "--json")
    control = json.loads(process.line())["controlPort"]
    ready = json.loads(process.line())
    assert ready["message"] == f"SMSC simulator listening on 127.0.0.1:{ready['port']}"
    with socket.create_connection(("127.0.0.1", control)) as orders, orders.makefile("rw") as lines:
        lines.write("stats\nrefuse 1\n")
        lines.flush()
        assert json.loads(lines.readline())["connected"] == 0
        assert json.loads(lines.readline()) == {"ok": True}
    with pytest.raises(ConnectionRefusedError):
        Client(ready["port"])


def test_it_prints_its_counters(start):
    process = start(MODULE, "--json", "--stats-every", "0.1", "--count-duplicates")
    with Client(process.port()) as esme:
        esme.bind()
        esme.submitted()
        esme.submitted()
        while not (stats := json.loads(process.line()))["submits"]:
            pass
    assert stats["submits"] == stats["answered"] == 2
    assert (stats["distinct"], stats["duplicates"]) == (1, 1)
    assert process.end() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "many"], "--port: 'many' is not a whole number"),
        (["--latency", "80-20"], "--latency: '80-20' is not a range"),
        (["--mix", "delivered"], "--mix: give name=weight pairs"),
        (["--fail-status", "ESME_RODD"], "--fail-status: 'ESME_RODD' is no command_status"),
        (["--receipt-style", "prose"], "receipt_style: 'prose' is none of"),
        (["--tls-cert", "/none", "--tls-key", "/none"], "tls_cert, tls_key: "),
        (["--record", "/none/such"], "/none/such"),
        (["--fault", "dance"], "fault: there is no fault 'dance'; there are refuse, "),
        (["--fault", "refuse@every=x"], "fault: 'x' is not a whole number above 0"),
        (["--receipts", "none,final"], "receipts: none and final exclude each other"),
        (["--mo", "text", "--mo-format", "binary"], "mo, mo_from, mo_to, mo_format: non-hexadecimal"),
        (["--sideways"], "--sideways"),
    ],
)
def test_it_refuses_bad_options_with_one(start, options, message):
    process = start(MODULE, *options)
    assert message in process.popen.stderr.read()
    assert process.popen.wait(5) == 1


def test_it_refuses_bad_options_with_one_under_manage_too(start):
    unknown, unreadable = start(COMMAND, "--sideways"), start(COMMAND, "--port", "many")
    assert "unrecognized arguments: --sideways" in unknown.popen.stderr.read()
    assert unreadable.popen.stderr.read() == "CommandError: --port: 'many' is not a whole number.\n"
    assert (unknown.popen.wait(5), unreadable.popen.wait(5)) == (1, 1)


def test_it_refuses_a_port_that_is_taken(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(MODULE, "--port", str(taken.getsockname()[1]))
        assert "address already in use" in process.popen.stderr.read()
        assert process.popen.wait(5) == 1


def test_it_takes_several_faults_and_counts_their_strikes(start):
    faults = ("refuse:0x0B@every=2", "refuse:0x14@first=1")
    process = start(
        MODULE,
        "--json",
        "--stats-every",
        "0.1",
        *(f"--fault={each}" for each in faults),
        "--receipts",
        "none",
    )
    with Client(process.port()) as esme:
        esme.bind()
        assert [esme.submitted().status for _ in range(3)] == [0x14, 0x0B, 0]
        while (stats := json.loads(process.line()))["submits"] < 3:
            pass
    assert stats["faults"] == dict.fromkeys(faults, 1)
    assert (stats["refused"], stats["throttled"]) == (1, 1)


@pytest.mark.parametrize("command", [MODULE, COMMAND])
def test_it_explains_every_option_and_every_word(start, command):
    process = start(command, "--help")
    text = process.popen.stdout.read()
    assert process.popen.wait(5) == 0
    assert "--receipt-bind" in text
    for name in (*KINDS, *CONDITIONS, *RECEIPTS, *RECEIPT_STYLE, *MO_FORMAT):
        assert re.search(rf"^  {name} +\w", text, re.MULTILINE), name
    assert "MO" not in re.findall(r"--mo\b(.*)", text)[0]
