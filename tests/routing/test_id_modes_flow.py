"""Ids in receipts over real binds: whatever the operator makes of them, messages are delivered."""

import contextlib
import time
from datetime import UTC, datetime, timedelta

import pytest

from routing import handover, matching, sweeps
from routing.models import Operator, ParkedReceipt
from routing.relay import Relay
from smpp_bind import simulator
from smpp_bind.simulator import Span
from tests.routing.conftest import status_of
from tests.routing.test_desk import consumed, desk, is_up, tasks, wait  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _unknown(monkeypatch):
    matching.forget()
    monkeypatch.setattr(matching, "OVERTAKES", timedelta(seconds=0.5))
    monkeypatch.setattr(matching, "FRESH_SECONDS", 0.5)


def delivered(keys, tasks) -> bool:  # noqa: F811
    """Let relay, worker and sweep have a turn."""
    if Relay().tick():
        while not tasks.empty():
            handover.hand_over(delivery_ids=tasks.get())
    sweeps.rematch(now=datetime.now(tz=UTC))
    return {status_of(key) for key in keys} == {"delivered"}


# How ids are written, what was seen before, what is seen then.
STYLES = [
    ({"id_style": "hex", "receipt_id_style": "decimal"}, "", "decimal_to_hex"),
    ({"id_style": "decimal", "receipt_id_style": "hex"}, "", "hex_to_decimal"),
    ({"id_style": "decimal", "receipt_id_style": "prefixed"}, "", "cut:smsc-"),
    ({"id_style": "hex", "receipt_id_style": "decimal"}, "decimal_to_hex", "decimal_to_hex"),
    ({"id_style": "decimal", "receipt_id_style": "hex"}, "decimal_to_hex", "hex_to_decimal"),
    ({"id_style": "hex", "receipt_id_style": "0x"}, "", "as_is"),
    ({"id_style": "decimal", "receipt_id_style": "padded"}, "", "as_is"),
    (
        {
            "id_style": "decimal",
            "receipt_id_style": "decimal",
            "receipt_tlv_id_style": "hex",
            "receipt_style": "both",
        },
        "",
        "as_is",
    ),
]


def test_it_finds_out_what_each_operator_does(desk, waiting, tasks):  # noqa: F811
    with contextlib.ExitStack() as stack:
        operators = []
        for styles, before, _seen in STYLES:
            settings = simulator.Settings(port=0, receipt_delay=Span(0.02, 0.02), **styles)
            smsc = stack.enter_context(simulator.start_in_thread(settings))
            account = {"host": "127.0.0.1", "port": smsc.port, "system_id": "esme", "window": 10}
            operators.append(
                Operator.objects.create(
                    slug=f"o{len(operators)}", transport="smpp", settings=account, id_mode_seen=before
                )
            )
        wait(lambda: all(map(is_up, operators)))
        keys = [key for operator in operators for key in waiting(operator, 8)]
        wait(lambda: delivered(keys, tasks), seconds=30.0)
        assert not ParkedReceipt.objects.exists()
        rows = list(Operator.objects.filter(transport="smpp").order_by("pk"))
        assert [row.id_mode_seen for row in rows] == [seen for _styles, _before, seen in STYLES]
        # No bind was opened anew for it.
        assert [row.updated_at for row in rows] == [operator.updated_at for operator in operators]
        # From now on nothing is parked.
        time.sleep(matching.FRESH_SECONDS)
        keys = [key for operator in operators for key in waiting(operator, 3)]
        wait(lambda: delivered(keys, tasks), seconds=30.0)
        assert list(Operator.objects.filter(transport="smpp").exclude(id_evidence={})) == []
