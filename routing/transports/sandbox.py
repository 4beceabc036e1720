"""The operator of the sandboxes: what becomes of a message is in its recipient.

A number that is not in the table is delivered. No settings.
"""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from routing.contract import Outbound, Outcome, Receipt, ReceiptState, Verdict
from routing.transports.simulator import SimulatorTransport


class Fate(NamedTuple):
    """What becomes of a message: its receipt, None for none, and the seconds until that comes."""

    state: ReceiptState | None
    delay: float = 0.05
    verdict: Verdict = Verdict.ACCEPTED


DELIVERED = Fate(ReceiptState.DELIVERED)
FATES = {
    "+15005550006": DELIVERED,
    "+15005550007": Fate(ReceiptState.UNDELIVERABLE),
    "+15005550008": Fate(ReceiptState.EXPIRED),
    "+15005550009": Fate(None, verdict=Verdict.REFUSED),
    "+15005550010": Fate(None),
    "+15005550011": Fate(ReceiptState.DELIVERED, delay=10.0),
}
CODE = "SANDBOX"


class SandboxTransport(SimulatorTransport):
    def _answer(self, message: Outbound, on_outcomes: Callable[[list[Outcome]], None]) -> None:
        fate = FATES.get(message.recipient, DELIVERED)
        accepted = fate.verdict is Verdict.ACCEPTED
        remote_ids = tuple(uuid.uuid4().hex for _part in range(message.parts)) if accepted else ()
        outcome = Outcome(
            message.delivery_id,
            message.message_id,
            fate.verdict,
            datetime.now(tz=UTC),
            remote_ids,
            code=None if accepted else CODE,
        )
        on_outcomes([outcome])
        if fate.state is not None:
            state = fate.state
            self._at(time.monotonic() + fate.delay, lambda: self._tell(remote_ids, state))

    def _tell(self, remote_ids: tuple[str, ...], state: ReceiptState) -> None:
        if self._sink is not None:
            now = datetime.now(tz=UTC)
            came = [Receipt(self._operator.id, key, state, now, code=CODE) for key in remote_ids]
            self._sink.receipts(self, came)
