from collections.abc import Sequence

from gateway.hooks import Fact


def fan_out(facts: Sequence[Fact]) -> None:
    return None
