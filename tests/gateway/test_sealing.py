import pytest

from gateway import sealing

NEW, OLD = b"n" * 32, b"o" * 32


def test_opens_what_it_sealed():
    sealed = sealing.seal(b"secret", context=b"a")
    assert sealing.open_(sealed, context=b"a") == b"secret"
    assert sealing.open_(memoryview(sealed), context=b"a") == b"secret"
    assert b"secret" not in sealed


def test_seals_differently_each_time():
    assert sealing.seal(b"secret", context=b"a") != sealing.seal(b"secret", context=b"a")


def test_does_not_open_in_another_context():
    with pytest.raises(sealing.SealingError):
        sealing.open_(sealing.seal(b"secret", context=b"a"), context=b"b")


@pytest.mark.parametrize("place", [0, 2, 10, 20, -1])
def test_does_not_open_what_was_altered(place):
    sealed = bytearray(sealing.seal(b"secret", context=b"a"))
    sealed[place] ^= 1
    with pytest.raises(sealing.SealingError):
        sealing.open_(bytes(sealed), context=b"a")


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x01" + b"x" * 16])
def test_does_not_open_what_is_no_sealed_value(value):
    with pytest.raises(sealing.SealingError):
        sealing.open_(value, context=b"a")


def test_opens_under_an_older_key_and_seals_under_the_first(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    sealed = sealing.seal(b"secret", context=b"a")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert sealing.open_(sealed, context=b"a") == b"secret"
    resealed = sealing.seal(b"secret", context=b"a")
    settings.ENCRYPTION_KEYS = [NEW]
    assert sealing.open_(resealed, context=b"a") == b"secret"
    with pytest.raises(sealing.SealingError, match="ENCRYPTION_KEYS"):
        sealing.open_(sealed, context=b"a")
