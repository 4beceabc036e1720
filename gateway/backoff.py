"""Waiting longer each time. Pure: chance is an argument."""


def delay(*, attempt: int, base: float, cap: float, spread: float, chance: float) -> float:
    """Seconds to wait after the ``attempt``-th failure (from 1): ``base`` doubling up to ``cap``.

    ``spread`` is the share by which it varies either way, ``chance`` in [0, 1) picks where.
    """
    # 2 ** 60 s is past any cap; without the bound a long-lived loop would overflow a float.
    plain = min(cap, base * 2.0 ** min(attempt - 1, 60))
    return plain * (1 + spread * (2 * chance - 1))
