"""Where a number belongs."""

import random
import time

import phonenumbers
import pytest

from gateway import numbers

TYPES = [
    phonenumbers.PhoneNumberType.MOBILE,
    phonenumbers.PhoneNumberType.FIXED_LINE,
    phonenumbers.PhoneNumberType.TOLL_FREE,
    phonenumbers.PhoneNumberType.VOIP,
]


def examples():
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in TYPES:
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                yield number


def e164(number):
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def test_it_is_that_of_the_library_for_the_examples_of_every_region():
    wrong = {
        e164(number): (numbers.country(e164(number)), phonenumbers.region_code_for_number(number))
        for number in examples()
        if numbers.country(e164(number)) != (phonenumbers.region_code_for_number(number) or "")
    }
    assert wrong == {}


def test_it_is_that_of_the_library_for_numbers_about_the_examples():
    """The regions that share a calling code, and whatever was remembered of their neighbours."""
    rng = random.Random(7)
    wrong = set()
    for number in examples():
        if len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[number.country_code]) == 1:
            continue
        for _ in range(5):
            text = e164(number)
            place = rng.randrange(-len(text) + 4, 0)
            near = text[:place] + str(rng.randrange(10)) + text[place:][1:]
            parsed = phonenumbers.parse(near)
            if near.startswith("+1800"):
                continue  # free numbers belong to no country in particular
            region = phonenumbers.region_code_for_number(parsed)
            if region is not None and numbers.country(near) != region:
                wrong.add((near, numbers.country(near), region))
    assert wrong == set()


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+14155550101", "US"),
        ("+16135550101", "CA"),
        ("+18765550101", "JM"),
        ("+17875550101", "PR"),
        ("+15005550006", "US"),
        ("+79161234567", "RU"),
        ("+77012345678", "KZ"),
        ("+447400123456", "GB"),
        ("+447781123456", "GG"),
        ("+393123456789", "IT"),
        ("+390669812345", "VA"),
        ("+212650123456", "MA"),
        ("+33612345678", "FR"),
        ("+38344123456", "XK"),
        ("+80012345678", ""),
        ("+881612345678", ""),
        ("+999123", ""),
        ("", ""),
        ("+1", "US"),
    ],
)
def test_it_tells_apart_countries_that_share_a_calling_code(number, country):
    assert numbers.country(number) == country


def test_a_number_that_does_not_exist_spoils_nothing_for_its_neighbours(monkeypatch):
    monkeypatch.setattr(numbers, "_seen", {})
    assert numbers.country("+44778112345") == "GB"
    assert numbers.country("+447781123456") == "GG"
    assert numbers.country("+18761") == "JM"


def test_it_is_found_in_about_a_microsecond():
    rng = random.Random(3)
    areas = ["1415", "1212", "1613", "1876", "4479", "336", "7916", "4915"]
    many = ["+" + rng.choice(areas) + f"{rng.randrange(10**7):07d}" for _ in range(20_000)]
    for number in many[:1000]:
        numbers.country(number)
    started = time.process_time()
    for number in many:
        numbers.country(number)
    assert (time.process_time() - started) / len(many) < 5e-6
