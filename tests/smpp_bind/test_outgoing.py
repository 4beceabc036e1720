"""A message as submits, read back as the SMSC reads them."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from routing.contract import OperatorSettings, Outbound
from smpp_bind import accounts, errors, pdu
from smpp_bind.outgoing import Writer

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def outbound(text="hello", **fields):
    shared = {"sender": "ACME", "content": None, "parts": 1, "metadata": None, "expires_at": None}
    recipient = fields.pop("recipient", "+14155550101")
    return Outbound(uuid.uuid4(), uuid.uuid4(), 1, "sms", recipient, text=text, **shared | fields)


def writer(**settings):
    needed = {"host": "127.0.0.1", "port": 2775, "system_id": "esme"}
    return Writer(accounts.read(OperatorSettings(7, "one", "sms", None, needed | settings)).form)


def written(message=None, **settings):
    """The only submit of a message."""
    (body,) = writer(**settings).bodies(message or outbound(), at=NOW)
    read = pdu.decode_data_sm if settings.get("data_sm") else pdu.decode_short_message
    return read(body)


@pytest.mark.parametrize(
    ("sender", "settings", "wanted"),
    [
        ("ACME", {}, (5, 0, "ACME")),
        ("+ACME", {}, (5, 0, "+ACME")),
        ("12 34", {}, (5, 0, "12 34")),
        ("+33612345678", {}, (1, 1, "33612345678")),
        ("33612345678", {}, (1, 1, "33612345678")),
        ("38080", {}, (3, 0, "38080")),
        ("12345678", {}, (3, 0, "12345678")),
        ("0612345678", {}, (2, 1, "0612345678")),
        ("+38080", {}, (1, 1, "38080")),
        (None, {}, (0, 0, "")),
        ("", {"source_ton": 6}, (6, 0, "")),
        (None, {"default_sender": "38080"}, (3, 0, "38080")),
        ("ACME", {"default_sender": "38080"}, (5, 0, "ACME")),
        ("38080", {"ton_npi": {"short": [3, 1]}}, (3, 1, "38080")),
        ("ACME", {"ton_npi": {"short": [3, 1]}}, (5, 0, "ACME")),
        ("ACME", {"ton_npi": {"alphanumeric": [5, 1]}, "source_npi": 9}, (5, 9, "ACME")),
        ("38080", {"source_ton": 0, "source_npi": 0}, (0, 0, "38080")),
        ("1" * 20, {}, (1, 1, "1" * 20)),
        ("٣٨٠٨٠", {}, errors.UnsendableError),
        ("1" * 21, {}, errors.UnsendableError),
        ("twelve chars", {}, errors.UnsendableError),
        ("Жук", {}, errors.UnsendableError),
        ("AC\nME", {}, errors.UnsendableError),
        ("AC\0ME", {}, errors.UnsendableError),
    ],
)
def test_it_writes_a_sender_by_its_kind(sender, settings, wanted):
    if isinstance(wanted, tuple):
        sm = written(outbound(sender=sender), **settings)
        assert (sm.source_ton, sm.source_npi, sm.source) == wanted
        return
    with pytest.raises(errors.UnsendableError) as found:
        written(outbound(sender=sender), **settings)
    assert found.value.error_code == "INVALID_SENDER"


@pytest.mark.parametrize(
    ("recipient", "settings", "wanted"),
    [
        ("+14155550101", {}, (1, 1, "14155550101")),
        ("+14155550101", {"destination_ton": 0, "destination_npi": 0}, (0, 0, "14155550101")),
        ("+14155550101", {"ton_npi": {"international": [1, 0]}}, (1, 0, "14155550101")),
        ("38080", {}, (3, 0, "38080")),
        ("0612345678", {}, (2, 1, "0612345678")),
        ("38080", {"destination_ton": 1, "destination_npi": 1}, (1, 1, "38080")),
    ],
)
def test_it_writes_a_recipient_as_the_operator_wants_it(recipient, settings, wanted):
    sm = written(outbound(recipient=recipient), **settings)
    assert (sm.destination_ton, sm.destination_npi, sm.destination) == wanted


@pytest.mark.parametrize(
    ("validity", "left", "wanted"),
    [
        ("absolute", timedelta(hours=1), "261121130000000+"),
        ("relative", timedelta(hours=1), "000000010000000R"),
        ("relative", timedelta(days=2), "000002000000000R"),
        ("relative", timedelta(hours=23, minutes=59, seconds=59.9), "000000235959000R"),
        ("relative", timedelta(seconds=1), "000000000001000R"),
        ("none", timedelta(hours=1), ""),
    ],
)
def test_it_sends_the_validity_on(validity, left, wanted):
    assert written(outbound(expires_at=NOW + left), validity=validity).validity == wanted
    assert written(outbound(), validity=validity).validity == ""


def test_it_sends_the_validity_of_each_message():
    made = writer()
    ends = [NOW + timedelta(seconds=seconds) for seconds in (60, 60.5, 61, 60)]
    told = [
        pdu.decode_short_message(made.bodies(outbound(expires_at=end), at=NOW)[0]).validity for end in ends
    ]
    assert told == ["261121120100000+", "261121120100000+", "261121120101000+", "261121120100000+"]


def test_it_has_the_validity_in_seconds_where_there_is_no_field_for_it():
    sm = written(outbound(expires_at=NOW + timedelta(hours=1)), data_sm=True)
    assert sm.tlvs == ((0x0017, (3600).to_bytes(4, "big")),)
    assert written(outbound(expires_at=NOW + timedelta(hours=1)), data_sm=True, validity="none").tlvs == ()


@pytest.mark.parametrize("validity", ["absolute", "relative", "none"])
@pytest.mark.parametrize("left", [-3600, 0, 0.9])
def test_it_sends_nothing_whose_validity_is_over_before_its_turn(validity, left):
    with pytest.raises(errors.TooLateError):
        written(outbound(expires_at=NOW + timedelta(seconds=left)), validity=validity)


def test_it_fills_the_fields_of_every_submit_by_settings():
    sm = written(
        service_type="CMT", protocol_id=0x41, priority_flag=3, replace_if_present=True, receipts="failures"
    )
    assert (sm.service_type, sm.protocol_id, sm.priority, sm.replace) == ("CMT", 0x41, 3, 1)
    assert (sm.registered_delivery, sm.schedule, sm.default_id) == (2, "", 0)


DLT = {
    "0x1400": "metadata.entity",
    "5121": {"from": "metadata.template", "type": "cstring", "required": True, "max": 6},
    "0x1402": "text:1101",
    "0x2000": {"from": "metadata.number", "type": "int2"},
}


def test_it_fills_vendors_tlvs_from_settings_and_metadata():
    message = outbound(metadata={"entity": "17011580181", "template": "T-1", "number": "258", "other": "x"})
    assert written(message, tlvs=DLT).tlvs == (
        (0x1400, b"17011580181"),
        (0x1401, b"T-1\0"),
        (0x1402, b"1101"),
        (0x2000, b"\x01\x02"),
    )
    assert written(outbound(metadata={"template": "T"}), tlvs=DLT).tlvs == (
        (0x1401, b"T\0"),
        (0x1402, b"1101"),
    )


def test_it_has_vendors_tlvs_in_every_part():
    message = outbound("x" * 400, metadata={"template": "T"})
    for mode in ("udh8", "sar"):
        parts = [
            pdu.decode_short_message(body)
            for body in writer(tlvs=DLT, concatenation=mode).bodies(message, at=NOW)
        ]
        assert [part.tlvs[-2:] for part in parts] == [((0x1401, b"T\0"), (0x1402, b"1101"))] * 3


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (None, "TLV 0x1401: metadata template is missing"),
        ({"template": ""}, "TLV 0x1401: metadata template is missing"),
        ({"template": "T-12345"}, "TLV 0x1401: metadata template is no text of at most 6 Latin-1 characters"),
        ({"template": "Ж"}, "TLV 0x1401: metadata template is no text of at most 6 Latin-1 characters"),
        ({"template": "T\0"}, "TLV 0x1401: metadata template is no text of at most 6 Latin-1 characters"),
        (
            {"template": "T", "number": "65536"},
            "TLV 0x2000: metadata number is no whole number from 0 to 65535",
        ),
        ({"template": "T", "number": "-1"}, "TLV 0x2000: metadata number is no whole number from 0 to 65535"),
        ({"template": "T", "number": "²"}, "TLV 0x2000: metadata number is no whole number from 0 to 65535"),
        (
            {"template": "T", "number": "9" * 5000},
            "TLV 0x2000: metadata number is no whole number from 0 to 65535",
        ),
    ],
)
def test_it_says_which_metadata_has_no_form(metadata, reason):
    with pytest.raises(errors.UnsendableError) as found:
        written(outbound(metadata=metadata), tlvs=DLT)
    assert (str(found.value), found.value.error_code) == (reason, "METADATA_INVALID")


@pytest.mark.parametrize(
    ("text", "settings", "data_coding"),
    [
        ("hello", {}, 0x10),
        ("ж", {}, 0x18),
        ("hello", {"default_alphabet": "latin1"}, 0x10),
        ("ç", {"alphabet": "latin1"}, 0x18),
    ],
)
def test_it_shows_a_message_at_once_where_metadata_says_so(text, settings, data_coding):
    flash = {"flash": "metadata.flash"} | settings
    assert written(outbound(text, metadata={"flash": "True"}), **flash).data_coding == data_coding
    assert written(outbound(text, metadata={"flash": "no"}), **flash).data_coding < 0x10
    assert written(outbound(text), **flash).data_coding < 0x10


@pytest.mark.parametrize("text", [None, ""])
@pytest.mark.parametrize("data_sm", [False, True])
def test_it_sends_an_empty_text(text, data_sm):
    assert written(outbound(text), data_sm=data_sm).message == b""


@pytest.mark.parametrize("mode", ["udh8", "udh16", "sar"])
def test_it_sends_as_many_parts_as_can_be_joined(mode):
    room = 152 if mode == "udh16" else 153
    made = writer(concatenation=mode)
    assert len(made.bodies(outbound("a" * room * 255), at=NOW)) == 255
    with pytest.raises(errors.UnencodableError):
        made.bodies(outbound("a" * (room * 255 + 1)), at=NOW)


def test_it_sends_in_one_payload_what_that_holds():
    assert len(written(outbound("a" * 65_535), concatenation="payload").message) == 65_535
    with pytest.raises(errors.UnencodableError):
        written(outbound("a" * 65_536), concatenation="payload")


def test_long_messages_have_references_of_their_own():
    made = writer()
    bodies = [made.bodies(outbound("x" * 200), at=NOW) for _ in range(3)]
    references = [[pdu.decode_short_message(body).message[3] for body in parts] for parts in bodies]
    assert len({tuple(each) for each in references}) == 3
    assert all(len(set(each)) == 1 for each in references)


@pytest.mark.parametrize(
    ("text", "parts", "settings", "counted"),
    [
        ("x" * 306, 2, {}, 2),
        ("x" * 306, 2, {"concatenation": "udh16"}, 3),
        ("€" * 80, 1, {"default_alphabet": "latin1"}, 2),
        ("x" * 160, 1, {"default_alphabet": "latin1"}, 1),
        ("x" * 160, 1, {"default_alphabet": "ucs2"}, 3),
        ("ç" * 140, 3, {"alphabet": "latin1"}, 3),
        ("x" * 400, 3, {"concatenation": "payload"}, 3),
        ("\ud83d", 1, {}, 1),
    ],
)
def test_it_counts_for_the_rate_what_is_sent_or_was_announced(text, parts, settings, counted):
    assert writer(**settings).count(outbound(text, parts=parts)) == counted
