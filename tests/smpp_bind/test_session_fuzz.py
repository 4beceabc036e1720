"""Random octets into the decoders and the session: only documented errors, and no submit ever left over."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from smpp_bind import errors, framing, notices, pdu, protocol
from smpp_bind.events import Answered, AnsweredLate, BindRefused, Dead, OutcomeUnknown, Unbound
from smpp_bind.settings import BindSettings

BODY = pdu.encode_short_message_body(pdu.ShortMessage(destination="14155550101", message=b"hello"))
COMMANDS = (
    *(
        pdu.BIND_RECEIVER,
        pdu.BIND_TRANSMITTER,
        pdu.BIND_TRANSCEIVER,
        pdu.OUTBIND,
        pdu.UNBIND,
        pdu.GENERIC_NACK,
    ),
    *(pdu.SUBMIT_SM, pdu.DELIVER_SM, pdu.DATA_SM, pdu.ENQUIRE_LINK, pdu.ALERT_NOTIFICATION),
    *(pdu.SUBMIT_SM_RESP, pdu.DELIVER_SM_RESP, pdu.DATA_SM_RESP, pdu.ENQUIRE_LINK_RESP, pdu.UNBIND_RESP),
    pdu.BIND_TRANSCEIVER | pdu.RESP,
)
LAST = BindRefused | Unbound | Dead

octets = st.binary(max_size=120)
commands = st.sampled_from(COMMANDS) | st.integers(0, 0xFFFFFFFF)
statuses = st.sampled_from([0, 0, 8, 0x58]) | st.integers(0, 0xFFFFFFFF)
sequences = st.integers(0, 12) | st.sampled_from([0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])


@st.composite
def frames(draw):
    """A PDU, mostly of a true length."""
    body = draw(octets)
    length = 16 + len(body) if draw(st.integers(0, 20)) else draw(st.integers(0, 0xFFFFFFFF))
    return pdu.HEADER.pack(length, draw(commands), draw(statuses), draw(sequences)) + body


wires = st.lists(frames() | octets, max_size=12).map(b"".join)


@given(octets)
@settings(max_examples=300, deadline=None)
def test_it_reads_or_refuses_any_body(body):
    for read in (pdu.decode_short_message, pdu.decode_data_sm, pdu.decode_bind):
        with contextlib.suppress(errors.PduError):
            read(body)
    for notice in (notices.decode_alert, notices.decode_outbind):
        with contextlib.suppress(errors.PduError):
            notice(body)
    pdu.decode_id(body)
    pdu.decode_bind_resp(body)
    pdu.decode_tlvs(body, 0)


@given(st.text(max_size=20), st.text(max_size=20), st.integers(-1, 300), octets)
@settings(max_examples=200, deadline=None)
def test_it_writes_what_it_can_read_back_or_refuses_it(source, destination, coding, message):
    sm = pdu.ShortMessage(source=source, destination=destination, data_coding=coding, message=message)
    with contextlib.suppress(errors.PduError):
        assert pdu.decode_short_message(pdu.encode_short_message_body(sm)) == sm
        assert pdu.decode_data_sm(pdu.encode_data_sm_body(sm)) == sm


@given(wires, st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_it_cuts_a_stream_in_the_same_way_at_whatever_octets_it_comes(wire, step):
    def cut(pieces):
        framer, found = framing.Framer(), []
        for piece in pieces:
            with contextlib.suppress(errors.FramingError):
                found += framer.feed(piece)
        return found, framer.broken is not None

    assert cut([wire]) == cut(wire[start : start + step] for start in range(0, len(wire), step))


@given(wires, st.integers(1, 60), st.booleans(), st.sampled_from(["transceiver", "transmitter", "receiver"]))
@settings(max_examples=400, deadline=None)
def test_it_is_never_stuck_and_accounts_for_every_submit_whatever_comes(wire, step, bound, kind):
    session = protocol.Session(
        BindSettings(host="h", port=1, system_id="a", password="b", bind=kind, window=4, response_timeout=3)
    )
    now, told, news = 0.0, [], []
    session.bind(now)
    if bound:
        session.receive_data(pdu.HEADER.pack(16, pdu.BIND_TRANSCEIVER | pdu.RESP, 0, 1), now)
    for start in range(0, len(wire), step):
        now += 0.5
        if session.room:
            told.append(start)
            session.submit(start, BODY, now)
        news += session.receive_data(wire[start : start + step], now)
        news += session.tick(now)
        framing.Framer().feed(session.bytes_to_send())
    news += session.unbind(now)
    for _ in range(40):  # every wait has an end
        due = session.next_tick()
        if due is None:
            break
        assert due <= now + 60
        now = max(now, due)
        news += session.tick(now)
    assert session.state is protocol.State.OVER
    outcomes = [event.token for event in news if isinstance(event, Answered | OutcomeUnknown)]
    assert sorted(outcomes) == told
    assert [event for event in news if isinstance(event, LAST)] == [news[-1]]
    unknown = {event.token for event in news if isinstance(event, OutcomeUnknown)}
    assert {event.token for event in news if isinstance(event, AnsweredLate)} <= unknown
    assert session.receive_data(wire, now) == []
