"""Texts of handsets over a real bind, in every form that operators send: each becomes the message that was written."""

import pytest

from gateway import numbers_owned
from gateway.models import InboundMessage
from routing.models import Operator
from tests.routing.test_desk import consumed, desk, is_up, smsc, wait  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)

PLAIN = "Are you there? {0} @ 5 €"
LONG = PLAIN + " All work and no play makes Jack a dull boy." * 8


PACKED = {"default_alphabet": "gsm_packed"}


@pytest.fixture
def bound(desk, smsc, tenants):  # noqa: F811
    numbers_owned.give(number="38080", tenant=tenants[0])

    def make(**account) -> None:
        given = {"host": "127.0.0.1", "port": smsc.port, "system_id": "esme"} | account
        operator = Operator.objects.create(slug="one", transport="smpp", settings=given)
        wait(lambda: is_up(operator))

    return make


@pytest.mark.parametrize(
    ("account", "written"),
    [
        (
            {},
            {
                "gsm,udh16,reversed,doubled": LONG,
                "ucs2,sar,reversed": LONG + " 🥐",
                "ucs2,payload,data-sm": LONG + " ж",
                "latin1": "Grüße, déjà vu",
                "ascii": "plain",
            },
        ),
        (PACKED, {"packed,udh8": LONG, "packed,udh16,reversed": LONG + "!", "packed": PLAIN}),
    ],
)
def test_it_reads_what_was_written(bound, smsc, account, written):  # noqa: F811
    bound(**account)
    for words, text in written.items():
        for number in range(33600000001, 33600000004):
            smsc.order(f"mo-as {words} {number} 38080 {text}")
    wait(lambda: InboundMessage.objects.count() == 3 * len(written))
    rows = InboundMessage.objects.all()
    assert sorted(row.text for row in rows) == sorted(text for text in written.values() for _ in range(3))


def test_it_keeps_whatever_octets_come(bound, smsc):  # noqa: F811
    bound()
    for _ in range(50):
        smsc.order("mo-as garbage 33600000001 38080 x")
    smsc.order("mo-as binary 33600000002 38080 0001ff")
    wait(lambda: smsc.stats()["mo_acknowledged"] == 51)
    assert InboundMessage.objects.get(sender="+33600000002").text == "0001ff"
