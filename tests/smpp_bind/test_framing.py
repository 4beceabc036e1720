import itertools
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp_bind import errors, framing, pdu


def a_pdu(sequence, body):
    return pdu.HEADER.pack(16 + len(body), pdu.SUBMIT_SM, 0, sequence) + body


@given(st.lists(st.binary(max_size=60), max_size=12), st.lists(st.integers(0, 400), max_size=20))
def test_it_finds_every_pdu_however_the_stream_is_cut(bodies, cuts):
    stream = b"".join(a_pdu(number, body) for number, body in enumerate(bodies))
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    framer = framing.Framer()
    found = []
    for start, end in itertools.pairwise(places):
        found += framer.feed(stream[start:end])
    assert [(header.sequence, body) for header, body in found] == list(enumerate(bodies))
    assert framer.waiting == 0


def test_it_reads_octet_by_octet():
    stream = a_pdu(1, b"one") + a_pdu(2, b"") + a_pdu(3, b"three")
    framer = framing.Framer()
    found = [frame for octet in stream for frame in framer.feed(bytes((octet,)))]
    assert [body for _, body in found] == [b"one", b"", b"three"]


def test_it_reads_the_longest_pdu_octet_by_octet_in_linear_time():
    stream = a_pdu(1, b"x" * 0x10000)
    framer = framing.Framer()
    started = time.perf_counter()
    found = [frame for octet in stream for frame in framer.feed(bytes((octet,)))]
    assert len(found) == 1
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("length", [0, 15, framing.MAX_LENGTH + 1, 0xFFFFFFFF])
def test_it_gives_up_at_an_impossible_length(length):
    framer = framing.Framer()
    with pytest.raises(errors.FramingError):
        framer.feed(struct.pack(">LLLL", length, 4, 0, 1))
    with pytest.raises(errors.FramingError):
        framer.feed(a_pdu(1, b""))


def test_it_gives_up_at_a_length_beyond_its_bound_even_when_all_is_there():
    with pytest.raises(errors.FramingError):
        framing.Framer(max_length=100).feed(a_pdu(1, b"x" * 100))


def test_it_returns_what_came_before_an_impossible_length():
    framer = framing.Framer()
    assert len(framer.feed(a_pdu(1, b"good") + b"\0" * 16)) == 1
    assert framer.broken is not None
    with pytest.raises(errors.FramingError):
        framer.feed(b"")
