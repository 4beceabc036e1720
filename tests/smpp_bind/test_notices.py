"""alert_notification and outbind, read and refused."""

import pytest

from smpp_bind import errors, framing, notices, pdu


@pytest.mark.parametrize("availability", [None, 0, 2])
def test_it_reads_an_alert(availability):
    data = notices.encode_alert(sequence=4, source="14155550101", esme="38080", availability=availability)
    ((header, body),) = framing.Framer().feed(data)
    assert (header.command_id, header.sequence) == (pdu.ALERT_NOTIFICATION, 4)
    assert notices.decode_alert(body) == notices.Alert(1, 1, "14155550101", 1, 1, "38080", availability)


def test_it_reads_an_alert_with_empty_numbers():
    assert notices.decode_alert(b"\0\0\0\0\0\0") == notices.Alert(0, 0, "", 0, 0, "", None)


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\0", b"\1\1" + b"1" * 20, b"\1\x011\0\1\x012"])
def test_it_refuses_an_alert_that_ends_too_early(body):
    with pytest.raises(errors.PduError):
        notices.decode_alert(body)


def test_it_reads_whom_an_outbind_is_from_and_keeps_no_password():
    assert notices.decode_outbind(b"smsc\0secret\0") == notices.Outbind("smsc")
    with pytest.raises(errors.PduError):
        notices.decode_outbind(b"smsc")
