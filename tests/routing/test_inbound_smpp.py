"""Handsets' long messages over real binds: from the SMSC's pieces to one message of the tenant's."""

import pytest

from gateway import numbers_owned
from gateway.models import InboundMessage
from routing.models import InboundPart, Operator
from tests.routing.test_desk import desk, is_up, smsc, wait  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)

LONG = {
    "gsm": "All work and no play makes Jack a dull boy. " * 12,
    "ucs2": "Съешь ещё этих мягких французских булок 🥐 " * 8,
}


@pytest.fixture
def consumed() -> list[set[str]]:
    return []


@pytest.mark.parametrize("binds", [1, 2])
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_it_makes_long_messages_whole(desk, smsc, tenants, binds, text):  # noqa: F811
    numbers_owned.give(number="38080", tenant=tenants[0])
    account = {"host": "127.0.0.1", "port": smsc.port, "system_id": "esme", "window": 10, "binds": binds}
    operator = Operator.objects.create(slug="one", transport="smpp", settings=account)
    wait(lambda: is_up(operator) and smsc.stats()["bound"] == binds)
    parts = sum(smsc.inject_mo("33612345678", "38080", f"{number} {text}") for number in range(20))
    assert parts > 40
    wait(lambda: InboundMessage.objects.count() == 20)
    rows = InboundMessage.objects.for_tenant(tenants[0].pk)
    assert {row.text for row in rows} == {f"{number} {text}" for number in range(20)}
    assert len(rows[0].raw["parts"]) == parts // 20
    wait(lambda: smsc.stats()["mo_acknowledged"] == parts)
    assert not InboundPart.objects.filter(total__gt=0).exists()
