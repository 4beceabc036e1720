import pytest

from gateway import backoff


@pytest.mark.parametrize(
    ("attempt", "expected"), [(1, 5), (2, 10), (3, 20), (9, 1280), (12, 3600), (9999, 3600)]
)
def test_doubles_up_to_its_cap(attempt, expected):
    assert backoff.delay(attempt=attempt, base=5, cap=3600, spread=0, chance=0.9) == expected


def test_varies_by_its_spread_either_way():
    assert backoff.delay(attempt=1, base=10, cap=99, spread=0.2, chance=0.0) == pytest.approx(8)
    assert backoff.delay(attempt=1, base=10, cap=99, spread=0.2, chance=1.0) == pytest.approx(12)
