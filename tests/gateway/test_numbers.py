import random

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import errors, numbers


def by_library(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def by_us(text: str) -> str | None:
    try:
        return numbers.normalise(text)
    except errors.InvalidRecipient:
        return None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("+14155550101", "+14155550101"),
        ("+1 (415) 555-0101", "+14155550101"),
        ("+44 (0)20 7946 0000", "+442079460000"),
        ("+15005550006", "+15005550006"),
        ("+390612345678", "+390612345678"),
        ("+1415", None),
        ("14155550101", None),
        ("0041446681800", None),
        ("+", None),
        ("", None),
        ("hello", None),
        ("+99912345678", None),
        ("+1415555010112345", None),
        ("+1415555\n0101x", None),
    ],
)
def test_makes_e164_or_refuses(given, expected):
    assert by_us(given) == expected


def test_agrees_with_the_library_in_every_country():
    chance = random.Random(7)
    for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        for size in range(3, 14):
            text = f"+{code}{''.join(chance.choices('0123456789', k=size))}"
            assert by_us(text) == by_library(text), text
            # Again by the pattern that the first may have taught it.
            assert by_us(text) == by_library(text), text


@settings(max_examples=300)
@given(st.text(alphabet="+0123456789 ()-.ext", max_size=22))
def test_agrees_with_the_library_on_what_people_type(given):
    assert by_us(given) == by_library(given)
