"""The simulator's texts from handsets, in every form that operators hand them over."""

import contextlib

import pytest

from smpp_bind import decoding, pdu, simulator
from smpp_bind.simulator import Settings
from tests.fakes.esme import Client

LATIN = "Grüße aus Köln "
GREEK_AND_EURO = "€ ΔΦ [x] "


@pytest.fixture
def handed():
    """The deliver_sm (or data_sm) that a text makes in the form of these words."""
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(simulator.start_in_thread(Settings(mo_from="1", mo_to="2")))
        esme = stack.enter_context(Client(running.port))
        assert esme.bind().status == 0

        def send(words, text):
            count = running.order(f"mo-as {words} 33600000001 38080 {text}")["parts"]
            command = pdu.DATA_SM if "data-sm" in words else pdu.DELIVER_SM
            read = pdu.decode_data_sm if command == pdu.DATA_SM else pdu.decode_short_message
            found = []
            for _ in range(count):
                each = esme.read(command)
                esme.send(command | pdu.RESP, b"\0", sequence=each.sequence)
                found.append(read(each.body))
            assert esme.hears_nothing(0.01)
            return found

        yield send


def whole(parts):
    """The text of the parts in their order."""
    places = sorted({decoding.place_of(part).number: part for part in parts}.items())
    pieces = "".join(decoding.text_of(part) for _, part in places)
    return pieces.encode("utf-16", "surrogatepass").decode("utf-16")


@pytest.mark.parametrize(
    ("words", "coding", "text"),
    [
        ("auto", 0, GREEK_AND_EURO),
        ("auto", 8, "Привет 😀"),
        ("gsm", 0, GREEK_AND_EURO),
        ("ascii", 1, "plain"),
        ("latin1", 3, LATIN),
        ("ucs2", 8, LATIN),
    ],
)
@pytest.mark.parametrize("joined", ["udh8", "udh16", "sar", "payload"])
@pytest.mark.parametrize("times", [1, 40])
def test_it_codes_and_joins_as_asked(handed, words, coding, text, joined, times):
    text = (text * times).strip()
    parts = handed(f"{words},{joined}", text)
    assert {part.data_coding for part in parts} == {coding}
    if len(parts) == 1:
        assert decoding.text_of(parts[0]) == text
    else:
        assert whole(parts) == text
        total = len(parts)
        assert [decoding.place_of(part)[1:] for part in parts] == [(total, n + 1) for n in range(total)]
        assert len({decoding.place_of(part).reference for part in parts}) == 1


@pytest.mark.parametrize("joined", ["udh8", "udh16", "sar", "payload"])
@pytest.mark.parametrize("length", [1, 7, 8, 15, 160, 161, 305, 306, 307, 470])
def test_it_packs_septets(handed, joined, length):
    text = (GREEK_AND_EURO * 60)[:length].strip()
    parts = handed(f"packed,{joined}", text)
    assert all(len(part.message) <= 140 for part in parts) or joined == "payload"
    alphabets = {0: "gsm_packed"}
    assert "".join(decoding.text_of(part, alphabets) for part in parts).rstrip("\r") == text


@pytest.mark.parametrize("joined", ["udh8", "udh16", "sar"])
def test_it_sends_parts_out_of_order_twice_or_not_at_all(handed, joined):
    text = "0123456789" * 40

    def numbers(words):
        return [decoding.place_of(part).number for part in handed(f"{words},{joined}", text)]

    assert numbers("auto") == [1, 2, 3]
    assert numbers("reversed") == [3, 2, 1]
    assert numbers("doubled") == [1, 1, 2, 2, 3, 3]
    assert numbers("missing") == [1, 3]
    assert numbers("reversed,doubled,missing") == [3, 3, 1, 1]


def test_it_cuts_surrogate_pairs_as_handsets_do(handed):
    text = "😀" * 80
    parts = handed("ucs2", text)
    assert len(parts[0].message) == 140
    assert parts[0].message[-2] & 0xFC == 0xD8
    assert whole(parts) == text


def test_it_sends_data_sm(handed):
    (found,) = handed("data-sm", "hello")
    assert (found.source, found.destination, found.message) == ("33600000001", "38080", b"hello")


def test_it_sends_an_empty_text(handed):
    (found,) = handed("auto", "")
    assert (found.message, found.data_coding) == (b"", 0)


def test_it_sends_octets(handed):
    (found,) = handed("binary", "00ff10")
    assert (found.message, found.data_coding) == (b"\x00\xff\x10", 4)


def test_it_sends_garbage_that_still_reads(handed):
    for _ in range(50):
        (found,) = handed("garbage", "")
        assert isinstance(decoding.text_of(found), str)


def test_it_sends_a_body_as_given():
    with simulator.start_in_thread() as running, Client(running.port) as esme:
        esme.bind()
        body = pdu.encode_short_message_body(pdu.ShortMessage(protocol_id=0x41, message=b"hi"))
        running.order(f"mo-raw {body.hex()}")
        assert esme.receipt().body == body


def test_it_takes_the_format_of_its_settings():
    with simulator.start_in_thread(Settings(mo_format="ucs2,udh16")) as running, Client(running.port) as esme:
        esme.bind()
        assert running.inject_mo("33600000001", "38080", "a" * 80) == 2
        assert esme.receipt().sm.message[:3] == b"\x06\x08\x04"
