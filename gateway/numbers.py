"""Phone numbers as E.164.

:mod:`phonenumbers` decides; it costs 15 µs a number. Most numbers come as they should be, and for those a pattern
a calling code, made from the library's own metadata, says the same in under 1 µs: only what it matches is known to
come back unchanged, everything else is put to the library.
"""

import functools
import re

import phonenumbers

from gateway import errors


def normalise(text: str) -> str:
    """The E.164 form, with its plus.

    Raises:
        errors.InvalidRecipient: when it is not a number in international form, or not a possible one.
    """
    pattern = _patterns.get(text[1:2]) or _patterns.get(text[1:3]) or _patterns.get(text[1:4])
    if pattern and pattern.fullmatch(text):
        return text
    return _slowly(text)


def _slowly(text: str) -> str:
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as error:
        raise errors.InvalidRecipient from error
    if not phonenumbers.is_possible_number(number):
        raise errors.InvalidRecipient
    _learn(number.country_code or 0)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# By calling code; filled as codes are met, since loading every country's metadata takes a third of a second.
_patterns: dict[str, re.Pattern[str]] = {}


@functools.cache
def _learn(calling_code: int) -> None:
    """Add the pattern of the numbers that the library returns as they are.

    A national prefix (the 0 of +44 (0)20…) is cut off by the library, so what may start with one is left to it.
    """
    region = phonenumbers.region_code_for_country_code(calling_code)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(calling_code, region)
    if metadata is None or metadata.general_desc is None:
        return
    prefix = metadata.national_prefix_for_parsing
    lengths = metadata.general_desc.possible_length
    _patterns[str(calling_code)] = re.compile(
        rf"\+{calling_code}(?!0{f'|{prefix}' if prefix else ''})"
        rf"(?:{'|'.join(f'[0-9]{{{length}}}' for length in lengths)})"
    )


def country(number: str) -> str:
    """Where an E.164 number belongs: ISO 3166-1 alpha-2, as :mod:`phonenumbers` has it (so Kosovo is XK).

    Empty for what belongs to no country, such as +800 and satellites. A number that its plan does not have counts
    as its calling code's main country, in the North American plan as its area code's.
    """
    found = _lone.get(number[:3])
    if found is None:
        found = _lone.get(number[:4])
        if found is None:
            found = _seen.get(number[:5] if number.startswith("+1") else number[:9])
            if found is None:
                return _shared_country(number)
    return found


# Calling codes of one country, with their plus.
_lone = {
    f"+{code}": "" if regions == ("001",) else regions[0]
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
    if len(regions) == 1
}
# The others' countries, by as much of the number as tells them apart.
_seen: dict[str, str] = {}
_SEEN_MOST = 200_000
# North American area codes are some country's whole, but not every number of theirs is given out.
_PROBES = ("2345678", "5552345", "3012345", "8765432")


def _shared_country(number: str) -> str:
    code = next((code for code in _SHARED if number.startswith(code, 1)), "")
    if not code:
        return ""
    national = number[len(code) + 1 :]
    tried = [national]
    key = number[:9]
    if code == "1" and len(national) >= 3:
        tried += [national[:3] + probe for probe in _PROBES]
        key = number[:5]
    found = next(filter(None, (_match(code, digits) for digits in tried)), "")
    if not found:
        return _SHARED[code]
    if len(_seen) >= _SEEN_MOST:
        _seen.clear()
    _seen[key] = found
    return found


_SHARED = {
    str(code): regions[0]
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
    if len(regions) > 1
}


def _match(code: str, national: str) -> str | None:
    """The first of a calling code's countries that has the number."""
    for region, pattern in _plans(int(code)):
        if pattern.match(national):
            return region
    return None


_TYPES = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
)


@functools.cache
def _plans(calling_code: int) -> list[tuple[str, re.Pattern[str]]]:
    """The countries of a calling code with what their national numbers look like, in the library's order."""
    plans = []
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[calling_code]:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
        if metadata is None:
            continue
        if metadata.leading_digits is not None:
            plans.append((region, re.compile(f"(?:{metadata.leading_digits})")))
            continue
        kinds = [getattr(metadata, name) for name in _TYPES]
        numbers = "|".join(f"(?:{kind.national_number_pattern})" for kind in kinds if _is_given(kind))
        plans.append((region, re.compile(f"(?:{numbers})$")))
    return plans


def _is_given(kind: phonenumbers.PhoneNumberDesc | None) -> bool:
    return kind is not None and bool(kind.national_number_pattern) and kind.national_number_pattern != "NA"
